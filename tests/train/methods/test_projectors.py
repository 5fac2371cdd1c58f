"""The shapes of projectors, as their sources have them."""

import pytest
import torch
from lightly.models.modules import heads
from torch import nn

from miner.learning.randomness import generator_for
from tests.train.methods.tiny import SMALL, WIDTH, batch, make, views

DIM, HIDDEN = SMALL["dim"], SMALL["hidden_dim"]


def layers(head: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    """Layers that have weights and activations, in their order, with the shapes of the matrices."""
    known = (nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.GELU)
    found = [module for module in head.modules() if isinstance(module, known)]
    return [(type(each).__name__, tuple(each.weight.shape) if isinstance(each, nn.Linear) else ()) for each in found]


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        ("simsiam", {"projector_layers": 3}, heads.SimSiamProjectionHead(WIDTH, HIDDEN, DIM)),
        ("nnclr", {"projector_layers": 3}, heads.NNCLRProjectionHead(WIDTH, HIDDEN, DIM)),
        ("barlow", {"projector_layers": 3}, heads.BarlowTwinsProjectionHead(WIDTH, HIDDEN, DIM)),
        ("vicreg", {"projector_layers": 3}, heads.VICRegProjectionHead(WIDTH, HIDDEN, DIM)),
        ("byol", {}, heads.BYOLProjectionHead(WIDTH, HIDDEN, DIM)),
        ("simclr", {}, heads.SimCLRProjectionHead(WIDTH, HIDDEN, DIM)),
        ("simclr", {"projector_layers": 3}, heads.SimCLRProjectionHead(WIDTH, HIDDEN, DIM, num_layers=3)),
        ("simclr", {"projector_norm": False}, heads.SimCLRProjectionHead(WIDTH, HIDDEN, DIM, batch_norm=False)),
        ("moco", {}, heads.MoCoProjectionHead(WIDTH, WIDTH, DIM)),
        ("moco", {"hidden_dim": HIDDEN}, heads.MoCoProjectionHead(WIDTH, HIDDEN, DIM)),
        ("moco", {"projector_layers": 1}, nn.Linear(WIDTH, DIM)),
    ],
)
def test_a_projector_has_the_layers_of_its_source(name: str, asked: dict[str, int], expected: nn.Module) -> None:
    method = make(name, **asked)
    assert layers(method.head) == layers(expected)
    assert method(batch(*views(0), generator_for(0)))["loss"].isfinite()


@pytest.mark.parametrize("name", ["dino", "graphnnclr"])
def test_dinos_head_is_without_normalisation_if_asked(name: str) -> None:
    method = make(name, projector_norm=False)
    hidden = ("GELU", ()), ("Linear", (HIDDEN, HIDDEN)), ("GELU", ())
    assert layers(method.bottleneck) == [("Linear", (HIDDEN, WIDTH)), *hidden, ("Linear", (256, HIDDEN))]
    first = method.bottleneck[0]  # as the authors initialise it
    assert not first.bias.any() and first.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert torch.equal(method.teacher[1][0].weight, first.weight)
