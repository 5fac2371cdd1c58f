import pytest
import torch
from lightly.loss import BarlowTwinsLoss

from miner.train.losses.barlow_twins import barlow_twins, cross_correlation
from tests.learning.numbers import features


def views() -> list[torch.Tensor]:
    first = features(9, 5, "first")
    return [first, 0.7 * first + 0.5 * features(9, 5, "second") + 3.0]


def test_equals_the_authors_formula() -> None:
    first, second = views()
    one, two = (torch.nn.BatchNorm1d(5, affine=False).double()(view) for view in (first, second))
    on_diagonal = off_diagonal = 0.0
    for i in range(5):
        for j in range(5):
            entry = sum(one[n, i].item() * two[n, j].item() for n in range(9)) / 9
            on_diagonal += (1 - entry) ** 2 if i == j else 0.0
            off_diagonal += entry**2 if i != j else 0.0
    found = barlow_twins(first, second)
    assert found["on_diagonal"].item() == pytest.approx(on_diagonal, abs=1e-9)
    assert found["off_diagonal"].item() == pytest.approx(off_diagonal, abs=1e-9)
    assert found["loss"].item() == pytest.approx(on_diagonal + 0.0051 * off_diagonal, abs=1e-9)


def test_equals_lightlys_loss_and_its_gradient() -> None:
    gradients = []
    for loss in (BarlowTwinsLoss(lambda_param=0.0051), lambda *both: barlow_twins(*both)["loss"]):
        both = [view.requires_grad_() for view in views()]
        value = loss(*both)
        value.backward()
        gradients.append([value, *(view.grad for view in both)])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def test_swapping_the_views_transposes_the_correlation() -> None:
    first, second = views()
    torch.testing.assert_close(cross_correlation(first, second).T, cross_correlation(second, first))
    torch.testing.assert_close(barlow_twins(first, second), barlow_twins(second, first))


def test_gradients_go_through_the_statistics_of_the_whole_batch() -> None:
    assert torch.autograd.gradcheck(
        lambda *both: barlow_twins(*both)["loss"], [view.requires_grad_() for view in views()]
    )


def test_equal_uncorrelated_views_cost_0_and_collapse_costs_dim() -> None:
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    assert barlow_twins(corners, corners)["loss"].item() == pytest.approx(0.0, abs=1e-9)
    same = torch.ones(4, 3, dtype=torch.float64)
    assert barlow_twins(same, same)["loss"].item() == pytest.approx(3.0)
