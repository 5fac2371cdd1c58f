"""Changes of colour and sharpness: jitter, grey, solarise and Gaussian blur, on float images in [0, 1]."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

THRESHOLD = 0.5  # of solarise
_GREY_WEIGHTS = (0.2989, 0.587, 0.114)


@dataclass(frozen=True)
class JitterParameters:
    """The colour jitter of B samples.

    Attributes:
        factors: float32 (B, 4): brightness, contrast and saturation factors, and hue shift in turns.
        order: int64 (B, 4): which of the four is first, second, third and last.
        applied: bool (B,): whether the sample is changed at all.
    """

    factors: Tensor
    order: Tensor
    applied: Tensor

    def turns(self) -> "JitterTurns":
        """The samples of each change, one change after another."""
        turn = torch.where(self.applied, self.order.T + torch.arange(0, 16, 4).unsqueeze(1), 16).flatten()
        counts = torch.bincount(turn, minlength=17)[:16].tolist()
        chosen = turn.argsort(stable=True)[: sum(counts)]
        rows = chosen % len(self.applied)
        return JitterTurns(rows, self.factors[rows, turn[chosen] % 4].view(-1, 1, 1, 1), tuple(counts))


@dataclass(frozen=True)
class JitterTurns:
    """The same jitter as a device computes it: the four changes in turn, four times.

    Attributes:
        rows: int64 (n,), which samples are changed, in the order of the turns.
        factors: float32 (n, 1, 1, 1).
        counts: how many samples there are in each of the 16 turns.
    """

    rows: Tensor
    factors: Tensor
    counts: tuple[int, ...]


def draw_jitter(
    count: int, strength: tuple[float, float, float, float], probability: float | Tensor, generator: torch.Generator
) -> JitterParameters:
    """Factors drawn uniformly in 1 +- strength (hue: 0 +- strength), in a random order for each sample.

    Args:
        probability: of a jitter at all; one for all samples, or (count,).
    """
    middle = torch.tensor([1.0, 1.0, 1.0, 0.0])
    noise = torch.rand(count, 4, generator=generator) * 2.0 - 1.0
    order = torch.rand(count, 4, generator=generator).argsort(dim=1)
    applied = torch.rand(count, generator=generator) < probability
    return JitterParameters(middle + noise * torch.tensor(strength), order, applied)


def jitter(images: Tensor, turns: JitterTurns) -> Tensor:
    """Apply jitter in place to float32 (B, 3, height, width) in [0, 1], and return it."""
    parts = (torch.split(part, list(turns.counts)) for part in (turns.rows, turns.factors))
    for adjust, rows, factors in zip(_ADJUSTMENTS * 4, *parts, strict=True):
        if len(rows):
            images[rows] = adjust(images[rows], factors)
    return images


def to_grey(images: Tensor) -> Tensor:
    """Luma of (B, 3, height, width) as (B, 1, height, width), by ITU-R BT.601."""
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return red * _GREY_WEIGHTS[0] + green * _GREY_WEIGHTS[1] + blue * _GREY_WEIGHTS[2]


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return (images * factor).clamp_(0.0, 1.0)


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    level = to_grey(images).mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(level, images, factor).clamp_(0.0, 1.0)


def _saturation(images: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(to_grey(images), images, factor).clamp_(0.0, 1.0)


def _hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue as in HSV, but stay in RGB: value and chroma do not change, and each channel follows from the new hue."""
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    divisor = torch.where(chroma > 0, chroma, 1.0)
    sextant = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2.0 + (blue - red) / divisor, 4.0 + (red - green) / divisor),
    )
    # With one more turn the sum is positive, so that `frac` is the remainder, which is much faster than `remainder`.
    offsets = torch.arange(11.0, 5.0, -2.0, device=images.device).view(1, 3, 1, 1)
    position = ((sextant + offsets) / 6.0 + turns).frac_().mul_(6.0)
    return value - chroma * torch.minimum(position, 4.0 - position).clamp_(0.0, 1.0)


_ADJUSTMENTS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (_brightness, _contrast, _saturation, _hue)


def solarise(images: Tensor) -> Tensor:
    """Invert the values that are one half or more, as torchvision's RandomSolarize does with the threshold 128 of 255.

    Float32 (batch, 3, height, width) in [0, 1] becomes the same shape in [0, 0.5].
    """
    return images.where(images < THRESHOLD, 1.0 - images)


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
