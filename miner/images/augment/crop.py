"""Random resized crop and flip as one resampling by two small matrices per sample.

Legend: B samples, C side of the canvas, S side of a view.
"""

import math

import torch
from torch import Tensor

_TRIES = 10
_ASPECT = (3 / 4, 4 / 3)


def crop_boxes(count: int, canvas: int, scale: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Crop boxes as torchvision's RandomResizedCrop draws them: area and log aspect ratio uniform, ten tries, whole pixels.

    Args:
        count: B.
        canvas: C, side of the square image in pixels.
        scale: smallest and largest share of the area.
        generator: a generator on the CPU.
    Returns:
        int64 (B, 4): top, left, height, width in pixels; the whole canvas if none of the ten tries fits.
    """
    area = torch.empty(count, _TRIES).uniform_(*scale, generator=generator) * canvas**2
    aspect = torch.empty(count, _TRIES).uniform_(*map(math.log, _ASPECT), generator=generator).exp()
    sides = torch.stack([(area / aspect).sqrt(), (area * aspect).sqrt()], dim=-1).round().long()
    fits = ((sides > 0) & (sides <= canvas)).all(dim=-1)
    first = fits.int().argmax(dim=1)
    chosen = sides[torch.arange(count), first]
    chosen = torch.where(fits.any(dim=1, keepdim=True), chosen, canvas)
    corner = (torch.rand(count, 2, generator=generator, dtype=torch.float64) * (canvas - chosen + 1)).long()
    return torch.cat([corner, chosen], dim=1)


def interpolation(start: Tensor, length: Tensor, canvas: int, size: int, flipped: Tensor | None = None) -> Tensor:
    """Weights that resample part of a line: a triangle around each output pixel, wider if the part shrinks (antialias).

    The weights inside the part sum to 1, and all others are 0. So the result equals torchvision's crop, and then a bilinear resize
    with antialias.

    Args:
        start, length: the start and length of the part in pixels, (B,).
        canvas: C, pixels of the line.
        size: S, pixels to make of the part.
        flipped: bool (B,), which samples to reverse.
    Returns:
        float32 (B, S, C).
    """
    step = (length.float() / size)[:, None, None]
    begin = start.float()[:, None, None]
    target = torch.arange(size, device=start.device).expand(len(start), size)
    if flipped is not None:
        target = torch.where(flipped[:, None], size - 1 - target, target)
    centre = begin + (target.unsqueeze(-1) + 0.5) * step
    pixel = torch.arange(canvas, device=start.device) + 0.5
    weight = (1.0 - (pixel - centre).abs() / step.clamp(min=1.0)).clamp(min=0.0)
    weight = weight * ((pixel > begin) & (pixel < begin + length[:, None, None]))
    return weight / weight.sum(dim=-1, keepdim=True)


def crop_and_resize(images: Tensor, boxes: Tensor, flipped: Tensor, size: int) -> Tensor:
    """Crop each image to its box, resize it to a square, and mirror those that are flipped.

    Args:
        images: uint8 or float (B, 3, C, C).
        boxes: int64 (B, 4): top, left, height, width, on the device of the images.
        flipped: bool (B,), on the device of the images.
        size: S.
    Returns:
        float32 (B, 3, S, S), on the scale of the images.
    """
    count, channels, canvas, _ = images.shape
    top, left, height, width = boxes.unbind(1)
    rows = interpolation(top, height, canvas, size)
    columns = interpolation(left, width, canvas, size, flipped)
    # With height first in memory, then channel, both products are batched matrix products without another copy.
    lines = images.permute(0, 2, 1, 3).float().reshape(count, canvas, channels * canvas)
    lines = torch.bmm(rows, lines).view(count, size * channels, canvas)
    return torch.bmm(lines, columns.transpose(1, 2)).view(count, size, channels, size).permute(0, 2, 1, 3)
