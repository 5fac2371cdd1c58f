"""Every method around a network small enough for seconds."""

from typing import Any

import torch
from torch import nn

from miner.learning.parallel.collectives import world_size
from miner.learning.randomness import generator_for
from miner.train.data.batch import Batch
from miner.train.methods import Method
from miner.train.methods.build import METHODS
from miner.train.settings.method_defaults import METHOD_DEFAULTS

WIDTH, BATCH, SIDE, STEPS, EPOCH_STEPS, IMAGES = 12, 8, 8, 12, 4, 40
SMALL = {
    **{"dim": 16, "hidden_dim": 24, "predictor_dim": 10, "queue_size": 32, "graph_window": 1, "neighbors": 3},
    **{"false_negative_quantile": 0.9, "false_negative_start": 0},
}
FURTHER = {"reco": 1, "fnc": 2}


class TinyBackbone(nn.Module):
    """One convolution with batch normalisation, pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, WIDTH, 3, bias=False)
        self.norm = nn.BatchNorm2d(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.layer(x.to(self.layer.weight.dtype))).relu().mean(dim=(2, 3))


def make(name: str, backbone: nn.Module | None = None, width: int = WIDTH, **changes: Any) -> Method:
    """A method with its default settings, but small widths."""
    torch.manual_seed(0)
    defaults = METHOD_DEFAULTS[name]
    settings = {key: SMALL.get(key, value) for key, value in defaults.settings.items()}
    settings |= {
        name: {"steps": STEPS, "steps_per_epoch": EPOCH_STEPS, "images": IMAGES, "mixed_grids": (4, 4)}[name]
        for name in defaults.plan_numbers
    }
    return METHODS[name](backbone or TinyBackbone(), width, seed=0, **{**settings, **changes})


def views(step: int, batch: int = BATCH) -> tuple[torch.Tensor, torch.Tensor]:
    """Two noisy views of the same random images."""
    draw = generator_for(0, "views", step)
    images = torch.randn(batch, 3, SIDE, SIDE, generator=draw)
    return tuple(images + 0.3 * torch.randn(images.shape, generator=draw) for _ in range(2))


def shuffles(first: torch.Tensor, second: torch.Tensor, draw: torch.Generator, parts: int = 1, name: str = "") -> Any:
    """`Batch.drawn` for these views: what PatchMix or MNN draws, or what ReCo draws, of which MoCo takes the first orders."""
    method = make(name if name in ("patchmix", "mnn") else "reco")
    items, seconds = (len(view) * world_size() // parts for view in (first, second))
    return tuple(method.draw(items, seconds, draw) for _ in range(parts))


def further(name: str, first: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """`Batch.further` for a method: views of the same items, shifted and mirrored."""
    return tuple(first.roll(number, dims=2).flip(-1) for number in range(FURTHER.get(name, 0)))


def batch(
    first: torch.Tensor, second: torch.Tensor, draw: torch.Generator, parts: int = 1, name: str = "", **more: Any
) -> Batch:
    """Own-view items of images that no other step shows, with the further views of a method."""
    rows, drawn = torch.arange(len(first)), shuffles(first, second, draw, parts, name)
    return Batch(first, second, rows, rows, drawn, **{"further": further(name, first), **more})
