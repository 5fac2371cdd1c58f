import torch
from torch.nn import functional as F

from miner.learning.randomness import generator_for
from tests.train.methods.tiny import BATCH, SMALL, batch, make, views


def projections(method: torch.nn.Module, view: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return F.normalize(method.head(method.backbone(view)), dim=1)


def test_the_loss_is_the_papers_with_the_queue_before_the_step() -> None:
    """With the step's own projections in the queue already, each view would be its own nearest neighbour."""
    method = make("nnclr")
    for step in range(3):
        first, second = views(step)
        queue = method.queue[: int(method.queued)].clone()
        z = [projections(method, view) for view in (first, second)]
        p = [F.normalize(method.predictor(method.head(method.backbone(view))), dim=1) for view in (first, second)]
        near = [rows if step == 0 else queue[(rows @ queue.T).argmax(1)] for rows in z]
        labels = torch.arange(BATCH)
        expected = (
            F.cross_entropy(near[0] @ p[1].T / 0.2, labels) + F.cross_entropy(near[1] @ p[0].T / 0.2, labels)
        ) / 2
        loss = method(batch(first, second, generator_for(step)))["loss"]
        torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
        if step:
            assert ((near[0] * z[0]).sum(1) < 1 - 1e-4).all()


def test_the_first_views_unit_projections_are_queued_in_order() -> None:
    method = make("nnclr")
    queued = []
    for step in range(5):
        first, second = views(step)
        queued.append(projections(method, first))
        method(batch(first, second, generator_for(step)))
    assert method.queued.item() == 5 * BATCH
    torch.testing.assert_close(method.queue, torch.cat([queued[4], *queued[1:4]]))
    assert len(method.queue) == SMALL["queue_size"] == 4 * BATCH


def test_the_projector_learns_through_the_predictor_only() -> None:
    """The neighbour is fixed: cutting the predictor cuts every gradient."""
    method = make("nnclr")
    with torch.no_grad():
        for layer in (method.predictor[0], method.predictor[-1]):
            layer.weight.zero_()
        method.predictor[-1].bias.fill_(1.0)
    method(batch(*views(0), generator_for(0)))["loss"].backward()
    assert all(parameter.grad.abs().max() == 0 for parameter in method.head.parameters())
