"""The normalisation of pixels by channel."""

from functools import lru_cache

import torch
from torch import Tensor


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...], peak: float = 1.0) -> Tensor:
    """(images - peak mean) / (peak std) by channel.

    Args:
        images: uint8 or float32 (batch, 3, height, width), in [0, peak]; not changed.
        mean, std: the mean and standard deviation of the channels, on the scale [0, 1].
        peak: the value of white.
    Returns:
        float32 (batch, 3, height, width), channels last in memory.
    """
    count, channels, height, width = images.shape
    # Along whole rows of pixels, because three channels are too short a loop for vector instructions.
    rows = images.permute(0, 2, 3, 1).reshape(count, height, -1)
    centre, deviation = (_along_a_row(each, peak, width, images.device) for each in (mean, std))
    rows = rows.sub(centre) if rows.dtype == torch.float32 else rows.float().sub_(centre)
    return rows.div_(deviation).view(count, height, width, channels).permute(0, 3, 1, 2)


@lru_cache(maxsize=64)
def _along_a_row(values: tuple[float, ...], peak: float, width: int, device: torch.device) -> Tensor:
    """Kept, because a GPU would wait for each copy: float32 (3 width,)."""
    return (torch.tensor(values) * peak).repeat(width).to(device)
