"""GraphNNCLR on images of eight colours, which a random network tells apart."""

from typing import Any

import torch
from torch import Tensor

from miner.learning.randomness import generator_for
from miner.train.data.batch import Batch
from miner.train.methods.graphnnclr import GraphNNCLR
from tests.train.methods.tiny import EPOCH_STEPS, IMAGES, SIDE, make

ROWS = torch.arange(IMAGES)


def graphnnclr(**changes: Any) -> GraphNNCLR:
    method = make("graphnnclr", **changes)
    assert isinstance(method, GraphNNCLR)
    return method.train()


def images() -> Tensor:
    """Of 8 colours, five of each, nearly alike: 0, 8, 16, 24, 32 are one colour."""
    draw = generator_for(0, "images")
    colours = torch.randn(8, 3, 1, 1, generator=draw).repeat(5, 1, SIDE, SIDE)
    return colours + 0.05 * torch.randn(IMAGES, 3, SIDE, SIDE, generator=draw)


def step(method: GraphNNCLR, rows: Tensor, positives: Tensor, number: int = 0) -> dict[str, Tensor]:
    pixels = images()
    return method(Batch(pixels[rows], pixels[positives], rows, positives, step=number))


def see_all(method: GraphNNCLR, epochs: int) -> None:
    """Epochs over all images, whose colours the random network tells apart as it is."""
    for number in range(epochs * EPOCH_STEPS):
        rows = ROWS.chunk(EPOCH_STEPS)[number % EPOCH_STEPS]
        step(method, rows, rows, number)
