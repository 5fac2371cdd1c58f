import math

import pytest
import torch
from lightly.loss import NTXentLoss
from torch.nn import functional as F

from miner.learning.randomness import generator_for
from miner.train.losses.info_nce import contrastive_accuracy, info_nce, info_nce_logits


def rows(count: int, dim: int, *purpose: str) -> torch.Tensor:
    return F.normalize(torch.randn(count, dim, generator=generator_for(0, *purpose)), dim=1)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_equals_lightlys_loss_with_a_memory_bank(temperature: float) -> None:
    query, key, queue = rows(6, 8, "query").requires_grad_(), rows(6, 8, "key"), rows(40, 8, "queue")
    oracle = NTXentLoss(temperature=temperature, memory_bank_size=(40, 8))
    oracle.memory_bank.bank.copy_(queue)
    expected = oracle(query, key)
    expected.backward()
    expected_gradient = query.grad.clone()
    query.grad = None
    # lightly normalises its inputs itself, so its gradient has no part along the query.
    loss = info_nce(info_nce_logits(F.normalize(query, dim=1), key, queue, temperature))
    loss.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(query.grad, expected_gradient)


def test_by_hand() -> None:
    query = torch.tensor([[1.0, 0.0]])
    negatives = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    logits = info_nce_logits(query, query, negatives, 0.5)
    assert torch.equal(logits, torch.tensor([[2.0, 0.0, -2.0]]))
    expected = -math.log(math.exp(2) / (math.exp(2) + 1 + math.exp(-2)))
    assert info_nce(logits).item() == pytest.approx(expected, rel=1e-6)


def test_absent_negatives_change_nothing() -> None:
    query, key, queue = rows(4, 8, "query").requires_grad_(), rows(4, 8, "key"), rows(10, 8, "queue")
    info_nce(info_nce_logits(query, key, queue[:6], 0.1)).backward()
    expected = query.grad.clone()
    query.grad = None
    absent = torch.arange(10) >= 6
    loss = info_nce(info_nce_logits(query, key, queue, 0.1, absent))
    loss.backward()
    torch.testing.assert_close(loss, info_nce(info_nce_logits(query, key, queue[:6], 0.1)))
    torch.testing.assert_close(query.grad, expected)


def test_logits_are_float32_under_bfloat16_autocast() -> None:
    query, key, queue = rows(4, 64, "query"), rows(4, 64, "key"), rows(32, 64, "queue")
    with torch.autocast("cpu", torch.bfloat16):
        inside = info_nce_logits(query, key, queue, 0.1)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, info_nce_logits(query, key, queue, 0.1))


def test_accuracy_counts_positives_above_every_negative() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [1.0, 2.0, 0.0], [1.0, 1.0, 0.0], [5.0, 4.0, 4.0]])
    assert contrastive_accuracy(logits).item() == 0.5
