"""Gaussian blur with its own width for each sample."""

import torch
from torch import Tensor


def gaussian_blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur with a Gaussian that is not cut off; the weights inside the image sum to 1, also at its border.

    Args:
        images: float32 (batch, 3, side, side).
        sigma: widths in pixels, float32 (batch,), above 0.
    Returns:
        float32 (batch, 3, side, side).
    """
    count, channels, side, _ = images.shape
    pixel = torch.arange(side, device=images.device, dtype=torch.float32)
    distance = (pixel[:, None] - pixel[None, :]) / sigma.view(-1, 1, 1)
    kernel = torch.softmax(-0.5 * distance.square(), dim=-1)
    lines = images.permute(0, 2, 1, 3).reshape(count, side, channels * side)
    lines = torch.bmm(kernel, lines).view(count, side * channels, side)
    return torch.bmm(lines, kernel.transpose(1, 2)).view(count, side, channels, side).permute(0, 2, 1, 3)
