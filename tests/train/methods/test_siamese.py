"""SimSiam and BYOL: what predicts what."""

import math

import pytest
import torch
from torch.nn import functional as F

from miner.learning.networks.momentum import momentum_at
from miner.learning.randomness import generator_for
from miner.train.loop.optimizer import ScheduledOptimizer
from tests.train.methods.tiny import STEPS, batch, make, views
from tests.train.plans import plan


def cosine(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    return F.cosine_similarity(one, two, dim=1).mean()


def test_simsiam_is_its_algorithm() -> None:
    method, twin = make("simsiam"), make("simsiam")
    first, second = views(0)
    loss = method(batch(first, second, generator_for(0)))["loss"]
    z1, z2 = twin.head(twin.backbone(first)), twin.head(twin.backbone(second))
    p1, p2 = twin.predictor(z1), twin.predictor(z2)
    expected = -cosine(p1, z2.detach()) / 2 - cosine(p2, z1.detach()) / 2
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=0)
    loss.backward()
    expected.backward()
    for one, two in zip(method.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, atol=1e-6, rtol=1e-5)


def test_simsiams_heads_are_the_authors() -> None:
    method = make("simsiam")
    assert [type(layer).__name__ for layer in method.head] == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]
    assert method.head[-1].weight is None and method.head[-2].bias is None
    assert [type(layer).__name__ for layer in method.predictor] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert method.predictor[-1].bias is not None


def test_simsiams_predictor_keeps_its_learning_rate() -> None:
    encoder, predictor = make("simsiam").parameter_groups()
    assert predictor.constant_lr and not encoder.constant_lr
    assert sum(parameter.numel() for parameter in predictor.parameters) == 16 * 10 + 2 * 10 + 10 * 16 + 16


def test_byol_is_its_formula() -> None:
    method, twin = make("byol"), make("byol")
    first, second = views(0)
    loss = method(batch(first, second, generator_for(0)))["loss"]
    predictions = [F.normalize(twin.predictor(twin.head(twin.backbone(view))), dim=1) for view in (first, second)]
    with torch.no_grad():
        targets = [F.normalize(twin.target(view), dim=1) for view in (first, second)]
    paper = sum((p - z).square().sum(1).mean() for p, z in ((predictions[0], targets[1]), (predictions[1], targets[0])))
    torch.testing.assert_close(4 + 4 * loss, paper, atol=1e-5, rtol=0)


def test_byols_factor_four_is_a_rate_and_a_decay_under_sgd() -> None:
    paper, scaled = make("byol", loss_scale=4.0), make("byol")
    for method, lr, decay in ((paper, 0.1, 0.01), (scaled, 0.4, 0.0025)):
        optimizer = torch.optim.SGD(method.trainable(), lr=lr, momentum=0.9, weight_decay=decay)
        for step in range(3):
            optimizer.zero_grad()
            method(batch(*views(step), generator_for(step)))["loss"].backward()
            optimizer.step()
    for (name, one), two in zip(paper.named_parameters(), scaled.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4, msg=name)


def test_byols_factor_four_moves_only_biases_under_lars() -> None:
    start, moves = make("byol"), []
    for scale in (1.0, 4.0):
        method = make("byol", loss_scale=scale)
        updates = ScheduledOptimizer(
            plan(method="byol", optimizer="lars", weight_decay=1e-6, decay_on="weights"), method
        )
        updates.prepare(0)
        method(batch(*views(0), generator_for(0)))["loss"].backward()
        updates.apply()
        moves.append(
            [one.detach() - two.detach() for one, two in zip(method.trainable(), start.trainable(), strict=True)]
        )
    for one, four in zip(*moves, strict=True):
        factor = 1 if one.ndim > 1 else 4
        torch.testing.assert_close(four, factor * one, atol=1e-6, rtol=1e-2)


def test_byols_target_follows_with_a_momentum_that_grows_to_one() -> None:
    method = make("byol", momentum=0.9)
    offset, behind = 1.0, 0.0
    start = method.target[0].layer.weight.clone()
    with torch.no_grad():
        method.backbone.layer.weight.add_(offset)
    for step in range(STEPS):
        method(batch(*views(step), generator_for(step), step=step))
        momentum = 1 - 0.1 * (math.cos(math.pi * step / STEPS) + 1) / 2
        behind = momentum * behind + (1 - momentum) * offset
        torch.testing.assert_close(method.target[0].layer.weight, start + behind, atol=1e-5, rtol=1e-5)


def test_the_momentum_starts_at_its_base_and_ends_at_one() -> None:
    values = [momentum_at(step, 100, 0.99, True) for step in (0, 50, 100)]
    assert values == pytest.approx([0.99, 0.995, 1.0])


@pytest.mark.parametrize("name", ["simsiam", "byol"])
def test_the_order_of_the_views_does_not_matter(name: str) -> None:
    first, second = views(0)
    one, two = make(name)(batch(first, second, generator_for(0))), make(name)(batch(second, first, generator_for(0)))
    torch.testing.assert_close(one["loss"], two["loss"])
