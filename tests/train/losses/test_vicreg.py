import pytest
import torch
from lightly.loss import VICRegLoss

from miner.train.losses.vicreg import covariance, invariance, variance, vicreg
from tests.learning.numbers import features

BATCH, DIM = 9, 5


def views() -> list[torch.Tensor]:
    """Embeddings of which some dimensions vary more than 1 and some less."""
    widths = torch.tensor([0.2, 0.5, 0.9, 1.5, 3.0], dtype=torch.float64)
    return [features(BATCH, DIM, name) * widths + 2.0 for name in ("first", "second")]


def by_hand(first: torch.Tensor, second: torch.Tensor) -> dict[str, float]:
    """Terms as the authors' code computes them, entry by entry; the variance term is halved, the covariance term is not."""
    terms = {"invariance": 0.0, "variance": 0.0, "covariance": 0.0}
    for a, b in zip(first.flatten().tolist(), second.flatten().tolist(), strict=True):
        terms["invariance"] += (a - b) ** 2 / (BATCH * DIM)
    for view in (first, second):
        means = [sum(view[:, j].tolist()) / BATCH for j in range(DIM)]
        for j in range(DIM):
            for k in range(DIM):
                products = [(view[n, j].item() - means[j]) * (view[n, k].item() - means[k]) for n in range(BATCH)]
                covariance_jk = sum(products) / (BATCH - 1)
                if j != k:
                    terms["covariance"] += covariance_jk**2 / DIM
                else:
                    terms["variance"] += max(0.0, 1 - (covariance_jk + 1e-4) ** 0.5) / DIM / 2
    return terms


def test_each_term_equals_the_authors_formula() -> None:
    expected = by_hand(*views())
    found = vicreg(*views())
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, abs=1e-9), name
    loss = 25 * expected["invariance"] + 25 * expected["variance"] + expected["covariance"]
    assert found["loss"].item() == pytest.approx(loss, abs=1e-9)
    assert 0.1 < expected["variance"] < 0.4  # a factor of two would show


def test_equals_lightlys_loss_and_its_gradient() -> None:
    gradients = []
    for loss in (VICRegLoss(), lambda *both: vicreg(*both)["loss"]):
        both = [view.requires_grad_() for view in views()]
        value = loss(*both)
        value.backward()
        gradients.append([value, *(view.grad for view in both)])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def test_the_order_of_the_views_does_not_matter() -> None:
    first, second = views()
    torch.testing.assert_close(vicreg(first, second), vicreg(second, first))


@pytest.mark.parametrize("term", [invariance, variance, covariance])
def test_gradients_go_through_the_statistics_of_the_whole_batch(term) -> None:
    """Finite differences know no autograd: a mean or a covariance cut off from the graph would differ from them."""
    assert torch.autograd.gradcheck(term, [view.requires_grad_() for view in views()])


def test_collapse_costs_the_whole_variance_term() -> None:
    same = torch.ones(6, 4, dtype=torch.float64)
    found = vicreg(same, same)
    assert found["variance"].item() == pytest.approx(0.99) and found["loss"].item() == pytest.approx(24.75)
