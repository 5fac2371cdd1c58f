import math

import pytest
import torch

from miner.train.losses.info_nce import info_nce, info_nce_logits
from miner.train.losses.rince import rince
from tests.learning.numbers import unit_features

TEMPERATURE = 0.2


def logits_of(query: torch.Tensor, temperature: float = TEMPERATURE) -> torch.Tensor:
    """The third negative counts for no query."""
    return info_nce_logits(
        query, unit_features(6, 5, "positive"), unit_features(9, 5, "negative"), temperature, torch.arange(9) == 2
    )


@pytest.mark.parametrize(("q", "density"), [(0.5, 0.025), (0.1, 0.01), (1.0, 1.0)])
def test_value_and_gradient_are_those_of_a_double_loop(q: float, density: float) -> None:
    query = unit_features(6, 5, "query").requires_grad_()
    positives, negatives = unit_features(6, 5, "positive"), unit_features(9, 5, "negative")
    losses = []
    for i in range(6):
        pos, neg = torch.exp(query[i] @ positives[i] / TEMPERATURE), torch.zeros(())
        for j in range(9):
            if j != 2:
                neg = neg + torch.exp(query[i] @ negatives[j] / TEMPERATURE)
        losses.append(-(pos**q) / q + (density * (pos + neg)) ** q / q)
    expected = math.exp(-q / TEMPERATURE) * torch.stack(losses).mean()
    (gradient,) = torch.autograd.grad(expected, query)
    loss = rince(logits_of(query), TEMPERATURE, q, density)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(torch.autograd.grad(loss, query)[0], gradient, rtol=1e-10, atol=1e-12)


def test_near_q_0_it_is_info_nce_and_the_log_of_lambda() -> None:
    query = unit_features(6, 5, "query").requires_grad_()
    robust, plain = rince(logits_of(query), TEMPERATURE, 1e-7, 0.025), info_nce(logits_of(query))
    torch.testing.assert_close(robust, plain + math.log(0.025), rtol=0, atol=1e-5)
    (one,), (other,) = (torch.autograd.grad(loss, query) for loss in (robust, plain))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_a_positive_that_is_not_similar_pulls_less() -> None:
    """Without negatives that are similar, the pull at cosine c is exp(-q (1 - c) / temperature) of the pull at cosine 1."""
    cosines = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64, requires_grad=True)
    logits = torch.stack([cosines, torch.full_like(cosines, -9.0)], dim=1) / TEMPERATURE
    (pull,) = torch.autograd.grad(rince(logits, TEMPERATURE, 0.5, 1e-9), cosines)
    assert (pull / pull[0]).tolist() == pytest.approx([1.0, math.exp(-1.25), math.exp(-2.5)], rel=1e-3)


def test_it_is_float32_and_finite_under_autocast_at_low_temperature() -> None:
    logits = logits_of(unit_features(6, 5, "query"), 0.05).float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = rince(logits, 0.05, 1.0, 0.025)
    assert inside.dtype == torch.float32 and inside.isfinite()
    assert torch.equal(inside, rince(logits, 0.05, 1.0, 0.025))
