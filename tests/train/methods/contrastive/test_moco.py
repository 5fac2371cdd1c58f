import math
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from miner.learning.networks.momentum import move_towards
from miner.learning.randomness import generator_for
from miner.learning.unit_rows import spread
from miner.train.methods.contrastive.moco import MoCo
from tests.train.methods.tiny import batch

WIDTH, DIM, BATCH, QUEUE = 12, 6, 4, 16


class Flat(nn.Module):
    """A linear backbone without normalisation, so that samples do not touch each other."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 4 * 4, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


def make(symmetric: bool = False, momentum: float = 0.9, backbone: nn.Module | None = None) -> MoCo:
    torch.manual_seed(0)
    return MoCo(
        backbone or Flat(),
        WIDTH,
        dim=DIM,
        queue_size=QUEUE,
        momentum=momentum,
        temperature=0.2,
        symmetric=symmetric,
        seed=0,
    )


def views(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    noise = torch.randn(2, BATCH, 3, 4, 4, generator=generator_for(0, "views", step))
    return noise[0], noise[1]


def expected_loss(method: MoCo, query_view: torch.Tensor, key_view: torch.Tensor, queue: torch.Tensor) -> torch.Tensor:
    """MoCo's loss written out per sample, with encoders as they are now."""
    query = F.normalize(method.head(method.backbone(query_view)), dim=1)
    key = F.normalize(method.key_encoder(key_view), dim=1)
    losses = []
    for q, k in zip(query, key, strict=True):
        positive = math.exp(q @ k / 0.2)
        negatives = sum(math.exp(q @ n / 0.2) for n in queue)
        losses.append(-math.log(positive / (positive + negatives)))
    return torch.tensor(sum(losses) / len(losses))


@pytest.mark.parametrize("symmetric", [False, True])
def test_loss_equals_the_formula_and_no_query_meets_its_own_key(symmetric: bool) -> None:
    method = make(symmetric)
    first, second = views(0)
    for step in range(1, 3):
        method(batch(*views(step), generator_for(step)))
    queue = method.queue[: int(method.queued)].clone()
    assert len(queue) == (QUEUE if symmetric else 2 * BATCH)
    loss = method(batch(first, second, generator_for(0)))["loss"]
    with torch.no_grad():
        expected = expected_loss(method, first, second, queue)
        if symmetric:
            expected = expected + expected_loss(method, second, first, queue)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)


def test_keys_are_queued_in_order_and_the_oldest_leave_first() -> None:
    method = make()
    queued = []
    for step in range(5):
        first, second = views(step)
        method(batch(first, second, generator_for(step)))
        queued.append(F.normalize(method.key_encoder(second), dim=1))
        slots = torch.arange(step * BATCH, (step + 1) * BATCH) % QUEUE
        torch.testing.assert_close(method.queue[slots], queued[-1])
    torch.testing.assert_close(method.queue, torch.cat([queued[4], *queued[1:4]]))
    assert method.queued.item() == 5 * BATCH


def test_slots_that_hold_no_key_yet_are_no_negatives() -> None:
    method = make()
    assert method(batch(*views(0), generator_for(0)))["loss"].item() == 0.0
    queue = method.queue.clone()
    queue[BATCH:] = 7.0
    method.queue.copy_(queue)
    move_towards(method.key_encoder, [*method.backbone.parameters(), *method.head.parameters()], method.momentum)
    with torch.no_grad():
        expected = expected_loss(method, *views(1), queue[:BATCH])
    method.momentum = 1.0
    torch.testing.assert_close(method(batch(*views(1), generator_for(1)))["loss"].detach(), expected)


def test_symmetric_queues_the_keys_of_both_views() -> None:
    method = make(symmetric=True)
    first, second = views(0)
    method(batch(first, second, generator_for(0)))
    expected = F.normalize(torch.cat([method.key_encoder(second), method.key_encoder(first)]), dim=1)
    torch.testing.assert_close(method.queue[: 2 * BATCH], expected)


def test_the_key_encoder_moves_before_the_keys_are_computed() -> None:
    method = make(momentum=0.75)
    start = deepcopy(method.key_encoder.state_dict())
    with torch.no_grad():
        for parameter in (*method.backbone.parameters(), *method.head.parameters()):
            parameter.add_(1.0)
    first, second = views(0)
    method(batch(first, second, generator_for(0)))
    for name, value in method.key_encoder.state_dict().items():
        torch.testing.assert_close(value, start[name] + 0.25)
    torch.testing.assert_close(method.queue[:BATCH], F.normalize(method.key_encoder(second), dim=1))


def test_only_the_query_encoder_learns() -> None:
    method = make()
    first, second = views(0)
    method(batch(first, second, generator_for(0)))["loss"].backward()
    learning = {name for name, parameter in method.named_parameters() if parameter.grad is not None}
    assert learning == {name for name, _ in method.named_parameters() if not name.startswith("key_encoder")}
    assert len(method.trainable()) == len(learning)


def test_the_key_encoders_normalisation_keeps_its_own_statistics() -> None:
    class Normalised(Flat):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(WIDTH)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(super().forward(x))

    method = make(backbone=Normalised()).train()
    first, second = views(0)
    method(batch(first, 5.0 * second, generator_for(0)))
    query_norm, key_norm = method.backbone.norm, method.key_encoder[0].norm
    assert key_norm.training and key_norm.num_batches_tracked == 1
    with torch.no_grad():
        expected = 0.9 + 0.1 * method.key_encoder[0].layer(5.0 * second.flatten(1)).var(0)
    torch.testing.assert_close(key_norm.running_var, expected)
    assert not torch.allclose(key_norm.running_var, query_norm.running_var)


def test_keys_are_normalised_in_another_order_than_queries() -> None:
    seen = {}

    class Recorder(Flat):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen["grad" if torch.is_grad_enabled() else "no grad"] = x.clone()
            return super().forward(x)

    method = make(backbone=Recorder())
    first, second = views(0)
    method(batch(first, second, generator_for(0)))
    assert torch.equal(seen["grad"], first)
    assert not torch.equal(seen["no grad"], second)
    assert torch.equal(seen["no grad"].flatten(1).sort(0).values, second.flatten(1).sort(0).values)


def test_everything_that_must_survive_is_in_the_state() -> None:
    method, other = make(), make()
    for step in range(2):
        method(batch(*views(step), generator_for(step)))
    other.load_state_dict(method.state_dict())
    one, two = method(batch(*views(2), generator_for(2))), other(batch(*views(2), generator_for(2)))
    assert torch.equal(one["loss"], two["loss"])
    assert torch.equal(method.queue, other.queue)


def test_spread_is_one_on_the_sphere_and_zero_at_collapse() -> None:
    random_rows = F.normalize(torch.randn(4000, 64, generator=generator_for(0)), dim=1)
    assert spread(random_rows).item() == pytest.approx(1.0, abs=0.02)
    assert spread(random_rows[:1].expand(100, -1)).item() == pytest.approx(0.0, abs=1e-6)
