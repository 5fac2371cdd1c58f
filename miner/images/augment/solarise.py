"""Solarise: light values become dark."""

from torch import Tensor

THRESHOLD = 0.5


def solarise(images: Tensor) -> Tensor:
    """Invert the values that are one half or more, as torchvision's RandomSolarize does with the threshold 128 of 255.

    Args:
        images: float32 (batch, 3, height, width) in [0, 1].
    Returns:
        The same shape, in [0, 0.5].
    """
    return images.where(images < THRESHOLD, 1.0 - images)
