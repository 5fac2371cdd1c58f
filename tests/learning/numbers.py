"""What every loss is tested on."""

import torch
from torch.nn import functional as F

from miner.learning.randomness import generator_for


def features(count: int, dim: int, *purpose: str | int) -> torch.Tensor:
    """Random rows, float64."""
    return torch.randn(count, dim, generator=generator_for(0, *purpose), dtype=torch.float64)


def unit_features(count: int, dim: int, *purpose: str | int) -> torch.Tensor:
    return F.normalize(features(count, dim, *purpose), dim=1)
