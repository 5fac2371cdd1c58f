"""VICReg and Barlow Twins: the losses meet raw embeddings of each view."""

import pytest
import torch
from lightly.loss import BarlowTwinsLoss, VICRegLoss

from miner.learning.randomness import generator_for
from miner.train.loop.optimizer import ScheduledOptimizer
from tests.train.methods.tiny import batch, make, views
from tests.train.plans import plan


@pytest.mark.parametrize(("name", "oracle"), [("vicreg", VICRegLoss()), ("barlow", BarlowTwinsLoss(0.0051))])
def test_the_loss_is_lightlys_on_the_embeddings(name: str, oracle: torch.nn.Module) -> None:
    method, twin = make(name), make(name)
    outcome = method(batch(*views(0), generator_for(0)))
    expected = oracle(*(twin.head(twin.backbone(view)) for view in views(0))) / (16 if name == "barlow" else 1)
    torch.testing.assert_close(outcome["loss"], expected, atol=1e-5, rtol=1e-5)
    assert method.head[-1].bias is None


@pytest.mark.parametrize("name", ["vicreg", "barlow"])
def test_the_terms_add_up_to_the_loss(name: str) -> None:
    outcome = {key: value.item() for key, value in make(name)(batch(*views(0), generator_for(0))).items()}
    weights = (
        {"invariance": 25.0, "variance": 25.0, "covariance": 1.0}
        if name == "vicreg"
        else {"on_diagonal": 1 / 16, "off_diagonal": 0.0051 / 16}
    )
    total = sum(weight * outcome[term] for term, weight in weights.items())
    assert outcome["loss"] == pytest.approx(total, rel=1e-5)


def test_barlow_under_lars_takes_the_steps_of_its_authors() -> None:
    asked = {"method": "barlow", "optimizer": "lars", "lr": 0.2, "lr_biases": 0.0048, "batch_size": 512, "lr_peak": 0.4}
    chosen = plan(**asked, weight_decay=1e-6, dim=16, hidden_dim=24)
    method, twin = (make("barlow", loss_scale=chosen.settings["loss_scale"]) for _ in range(2))
    updates = ScheduledOptimizer(chosen, method)
    updates.prepare(0)
    method(batch(*views(0), generator_for(0)))["loss"].backward()
    updates.apply()
    BarlowTwinsLoss(0.0051)(*(twin.head(twin.backbone(view)) for view in views(0))).backward()
    for (name, one), two in zip(method.named_parameters(), twin.parameters(), strict=True):
        if one.ndim == 1:
            torch.testing.assert_close(one, two - 2 * 0.0048 * two.grad, msg=name)
        else:  # authors' and You et al.'s trust ratio
            trust = 0.001 * two.norm() / (two.grad + 1e-6 * two).norm()
            torch.testing.assert_close(one, two - 0.4 * trust * two.grad, atol=1e-6, rtol=1e-3, msg=name)


def test_barlows_loss_has_the_factor_that_is_asked_for() -> None:
    losses = [
        make("barlow", loss_scale=scale)(batch(*views(0), generator_for(0)))["loss"] for scale in (None, 0.1, 1.0)
    ]
    torch.testing.assert_close(torch.stack(losses) / losses[2], torch.tensor([1 / 16, 0.1, 1.0]))
