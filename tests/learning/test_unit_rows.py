import pytest
import torch
from lightly.loss import NegativeCosineSimilarity

from miner.learning.unit_rows import negative_cosine
from tests.learning.numbers import features


def test_equals_the_papers_formula_and_lightlys_loss() -> None:
    prediction, target = features(7, 5, "p"), features(7, 5, "z")
    by_hand = [-(p @ z) / (p.norm() * z.norm()) for p, z in zip(prediction, target, strict=True)]
    loss = negative_cosine(prediction, target)
    assert loss.item() == pytest.approx(torch.stack(by_hand).mean().item(), abs=1e-9)
    torch.testing.assert_close(loss, NegativeCosineSimilarity()(prediction, target))


def test_byols_error_is_twice_it_plus_two() -> None:
    prediction, target = features(7, 5, "p"), features(7, 5, "z")
    unit = [torch.nn.functional.normalize(rows, dim=1) for rows in (prediction, target)]
    squared_error = (unit[0] - unit[1]).square().sum(1).mean()
    torch.testing.assert_close(2 + 2 * negative_cosine(prediction, target), squared_error)


def test_only_the_prediction_has_a_gradient() -> None:
    prediction, target = features(4, 3, "p").requires_grad_(), features(4, 3, "z").requires_grad_()
    negative_cosine(prediction, target).backward()
    assert target.grad is None
    assert torch.autograd.gradcheck(lambda p: negative_cosine(p, target.detach()), [prediction])


def test_lengths_do_not_matter_and_the_range_is_that_of_cosines() -> None:
    prediction, target = features(4, 3, "p"), features(4, 3, "z")
    torch.testing.assert_close(negative_cosine(5 * prediction, 0.1 * target), negative_cosine(prediction, target))
    assert negative_cosine(prediction, 2 * prediction).item() == pytest.approx(-1.0)
    assert negative_cosine(prediction, -prediction).item() == pytest.approx(1.0)
