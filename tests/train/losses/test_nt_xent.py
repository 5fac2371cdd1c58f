import math

import pytest
import torch
from lightly.loss import NTXentLoss

from miner.train.losses.info_nce import contrastive_accuracy, info_nce
from miner.train.losses.nt_xent import nt_xent_logits
from tests.learning.numbers import features, unit_features


def nt_xent(first: torch.Tensor, second: torch.Tensor, temperature: float) -> torch.Tensor:
    return info_nce(nt_xent_logits(first, second, temperature))


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_equals_the_papers_formula(batch: int, temperature: float) -> None:
    first, second = unit_features(batch, 6, "first"), unit_features(batch, 6, "second")
    views = torch.stack([first, second], 1).flatten(0, 1)  # the paper's order: 2k - 1 and 2k are the views of one image
    losses = []
    for i in range(2 * batch):
        j = i + 1 if i % 2 == 0 else i - 1
        others = sum(math.exp(views[i] @ views[k] / temperature) for k in range(2 * batch) if k != i)
        losses.append(-math.log(math.exp(views[i] @ views[j] / temperature) / others))
    assert nt_xent(first, second, temperature).item() == pytest.approx(sum(losses) / len(losses), abs=1e-9)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_equals_lightlys_loss_and_its_gradient(temperature: float) -> None:
    raw = [features(6, 8, name).float().requires_grad_() for name in ("first", "second")]
    NTXentLoss(temperature=temperature)(*raw).backward()
    expected = [view.grad.clone() for view in raw]
    for view in raw:
        view.grad = None
    loss = nt_xent(*(torch.nn.functional.normalize(view, dim=1) for view in raw), temperature)
    loss.backward()
    torch.testing.assert_close(loss, NTXentLoss(temperature=temperature)(*raw), atol=1e-6, rtol=1e-6)
    for view, gradient in zip(raw, expected, strict=True):
        torch.testing.assert_close(view.grad, gradient, atol=1e-6, rtol=1e-5)


def test_the_order_of_the_views_does_not_matter() -> None:
    first, second = unit_features(5, 6, "first"), unit_features(5, 6, "second")
    torch.testing.assert_close(nt_xent(first, second, 0.1), nt_xent(second, first, 0.1))


def test_no_view_is_its_own_negative() -> None:
    first, second = unit_features(4, 6, "first"), unit_features(4, 6, "second")
    logits = nt_xent_logits(first, second, 1.0)
    assert logits.shape == (8, 7)
    torch.testing.assert_close(logits[:4, 0], (first * second).sum(1))
    # A view's product with itself is 1, and no other product of random rows is.
    assert (logits < 1 - 1e-6).all()
    assert contrastive_accuracy(nt_xent_logits(first, first, 1.0)).item() == 1.0


def test_both_views_take_gradient() -> None:
    views = [unit_features(3, 4, name).requires_grad_() for name in ("first", "second")]
    assert torch.autograd.gradcheck(lambda first, second: nt_xent(first, second, 0.3), views)
