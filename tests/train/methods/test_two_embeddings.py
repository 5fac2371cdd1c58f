"""VICReg and Barlow Twins: the losses meet raw embeddings of each view."""

import pytest
import torch
from lightly.loss import BarlowTwinsLoss, VICRegLoss

from miner.learning.randomness import generator_for
from tests.train.methods.tiny import batch, make, views


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
