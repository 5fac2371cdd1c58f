import math

import pytest
import torch
from lightly.models.modules import NNMemoryBankModule

from miner.train.losses.info_nce import info_nce
from miner.train.losses.nnclr import nearest_supports, nnclr_logits
from tests.learning.numbers import unit_features


def test_equals_the_papers_formula() -> None:
    neighbours, predictions = unit_features(5, 6, "neighbours"), unit_features(5, 6, "predictions")
    losses = []
    for i in range(5):
        others = sum(math.exp(neighbours[i] @ predictions[k] / 0.1) for k in range(5))
        losses.append(-math.log(math.exp(neighbours[i] @ predictions[i] / 0.1) / others))
    loss = info_nce(nnclr_logits(neighbours, predictions, 0.1))
    assert loss.item() == pytest.approx(sum(losses) / 5, abs=1e-9)


def test_each_row_holds_every_prediction_once_with_its_own_first() -> None:
    neighbours, predictions = unit_features(4, 6, "neighbours"), unit_features(4, 6, "predictions")
    logits, products = nnclr_logits(neighbours, predictions, 0.5), neighbours @ predictions.T / 0.5
    torch.testing.assert_close(logits[:, 0], products.diagonal())
    torch.testing.assert_close(logits.sort(1).values, products.sort(1).values)


def test_neighbours_are_those_of_lightlys_memory_bank() -> None:
    bank = NNMemoryBankModule(size=(40, 6))
    bank.bank.copy_(unit_features(40, 6, "supports"))
    rows = unit_features(7, 6, "rows").float()
    found = nearest_supports(rows, bank.bank, torch.zeros(40, dtype=torch.bool))
    torch.testing.assert_close(found, bank(rows))


def test_absent_supports_are_never_the_nearest() -> None:
    rows, supports = unit_features(5, 6, "rows"), unit_features(10, 6, "supports")
    supports[4:9] = rows
    found = nearest_supports(rows, supports, torch.arange(10) >= 4)
    torch.testing.assert_close(found, nearest_supports(rows, supports[:4], torch.zeros(4, dtype=torch.bool)))
    torch.testing.assert_close(nearest_supports(rows, supports, torch.zeros(10, dtype=torch.bool)), rows)
    assert torch.equal(nearest_supports(rows, 0 * supports, torch.ones(10, dtype=torch.bool)), rows)


def test_only_predictions_have_a_gradient_and_it_is_the_oracles() -> None:
    rows = unit_features(5, 6, "rows").requires_grad_()
    for absent in (True, False):
        assert not nearest_supports(rows, rows.detach(), torch.full((5,), absent)).requires_grad
    predictions = unit_features(4, 3, "predictions").requires_grad_()
    neighbours = unit_features(4, 3, "neighbours")
    assert torch.autograd.gradcheck(lambda p: info_nce(nnclr_logits(neighbours, p, 0.2)), [predictions])
