"""Random resized crop and flip as one resampling by two small matrices per sample.

Legend: B samples, C side of the canvas, S side of a view.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_TRIES = 10
_ASPECT = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class CropDraws:
    """What RandomResizedCrop draws for B samples, whatever the shapes of their images. One draw serves images of any shape.

    Attributes:
        areas, aspects: ten tries of the share of the area and of width / height, float32 (B, 10).
        corners: where the crop lies in what is left of height and width, in [0, 1), float64 (B, 2).
    """

    areas: Tensor
    aspects: Tensor
    corners: Tensor

    def __getitem__(self, rows: Tensor) -> "CropDraws":
        return CropDraws(self.areas[rows], self.aspects[rows], self.corners[rows])


def draw_crops(count: int, scale: tuple[float, float], generator: torch.Generator) -> CropDraws:
    """Area and log aspect ratio are uniform; `scale` is the smallest and the largest share of the area."""
    areas = torch.empty(count, _TRIES).uniform_(*scale, generator=generator)
    aspects = torch.empty(count, _TRIES).uniform_(*map(math.log, _ASPECT), generator=generator).exp()
    return CropDraws(areas, aspects, torch.rand(count, 2, generator=generator, dtype=torch.float64))


def crop_boxes(draws: CropDraws, shapes: Tensor) -> Tensor:
    """Crop boxes as torchvision's RandomResizedCrop makes them: the first of ten tries that fits, in whole pixels.

    If none fits, it is the centre of the image, cut to the nearest aspect ratio that is allowed.

    Args:
        shapes: height and width of each image, int64 (B, 2), or (1, 2) for all; on the CPU, as the draws are.
    Returns:
        int64 (B, 4): top, left, height, width in pixels.
    """
    areas = draws.areas * shapes.prod(dim=1, keepdim=True)
    sides = torch.stack([(areas / draws.aspects).sqrt(), (areas * draws.aspects).sqrt()], dim=-1).round().long()
    fits = ((sides > 0) & (sides <= shapes[:, None])).all(dim=-1)
    found, chosen = fits.any(dim=1, keepdim=True), sides[torch.arange(len(sides)), fits.int().argmax(dim=1)]
    widest = torch.minimum(shapes, (shapes.flip(1) * _ASPECT[1]).round().long())
    chosen = torch.where(found, chosen, widest)
    corners = torch.where(found, (draws.corners * (shapes - chosen + 1)).long(), (shapes - chosen) // 2)
    return torch.cat([corners, chosen], dim=1)


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
