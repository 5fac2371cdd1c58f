"""Random resized crop and flip of a batch, of images of one shape or of many.

Legend: B samples, L pixels of a line of an image, S side of a view.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from miner.images.ragged import Pixels, RaggedImages

_TRIES = 10
_ASPECT = (3 / 4, 4 / 3)
_ONE_BY_ONE_ABOVE = 64  # measured: at 96 pixels products take 2.6 times as long, at 40 half as long
_WINDOWS_AT_ONCE = 64  # the places of their pixels take 160 MB at 224 pixels


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


def interpolation(start: Tensor, length: Tensor, line: int, size: int, flipped: Tensor | None = None) -> Tensor:
    """Weights that resample part of a line: a triangle around each output pixel, wider if the part shrinks (antialias).

    The weights inside the part sum to 1, and all others are 0. So the result equals torchvision's crop, and then a bilinear resize
    with antialias.

    Args:
        start, length: the start and length of the part in pixels, (B,).
        line: L, pixels of the line.
        size: S, pixels to make of the part.
        flipped: bool (B,), which samples to reverse.
    Returns:
        float32 (B, S, L).
    """
    step = (length.float() / size)[:, None, None]
    begin = start.float()[:, None, None]
    target = torch.arange(size, device=start.device).expand(len(start), size)
    if flipped is not None:
        target = torch.where(flipped[:, None], size - 1 - target, target)
    centre = begin + (target.unsqueeze(-1) + 0.5) * step
    pixel = torch.arange(line, device=start.device) + 0.5
    weight = (1.0 - (pixel - centre).abs() / step.clamp(min=1.0)).clamp(min=0.0)
    weight = weight * ((pixel > begin) & (pixel < begin + length[:, None, None]))
    return weight / weight.sum(dim=-1, keepdim=True)


def crop_and_resize(images: Pixels, boxes: Tensor, flipped: Tensor, size: int, layout: Tensor | None = None) -> Tensor:
    """Crop each image to its box, resize it to a square, and mirror those that are flipped.

    Args:
        images: uint8 or float (B, 3, height, width), or ragged.
        boxes: int64 (B, 4): top, left, height, width, on the device of the images; of ragged images with sides in `_ASPECT`.
        flipped: bool (B,), on the device of the images.
        size: S.
        layout: that of ragged images, on their device; it is moved there if it is not given.
    Returns:
        float32 (B, 3, S, S), on the scale of the images.
    """
    if boxes.device.type == "cpu" and size > _ONE_BY_ONE_ABOVE:
        return _one_by_one(images, boxes, flipped, size)
    if isinstance(images, RaggedImages):
        images = images.stacked()
    if isinstance(images, Tensor):
        return _by_products(images, boxes, flipped, size)
    if boxes.device.type == "cpu":
        return _one_by_one(images, boxes, flipped, size)
    layout = images.layout().to(boxes.device) if layout is None else layout
    parts = [slice(start, start + _WINDOWS_AT_ONCE) for start in range(0, len(images), _WINDOWS_AT_ONCE)]
    windows = [_by_windows(images[part], boxes[part], flipped[part], size, layout[:, part]) for part in parts]
    return torch.cat(windows)


def _one_by_one(images: Pixels, boxes: Tensor, flipped: Tensor, size: int) -> Tensor:
    """On a CPU: a product with mostly zeros takes longer than torch's own resize, unless the images are very small."""
    views = torch.empty(len(boxes), 3, size, size)
    for row, ((top, left, height, width), mirrored) in enumerate(zip(boxes.tolist(), flipped.tolist(), strict=True)):
        window = images[row][:, top : top + height, left : left + width].float()
        view = functional.interpolate(window[None], (size, size), mode="bilinear", antialias=True)
        views[row] = view[0].flip(-1) if mirrored else view[0]
    return views


def _by_windows(images: RaggedImages, boxes: Tensor, flipped: Tensor, size: int, layout: Tensor) -> Tensor:
    """On a GPU: the pixels from the corner of each box on are gathered into one tensor, as large as any of the boxes may be."""
    heights, widths = images.shapes.unbind(dim=1)
    tallest, widest = (
        int(torch.minimum(own, other * 4 // 3 + 2).max()) for own, other in ((heights, widths), (widths, heights))
    )
    start, area, width = layout[:, :, None, None, None]
    device = boxes.device
    channel, line, column = (torch.arange(length, device=device) for length in (3, tallest, widest))
    top, left = boxes[:, 0, None, None, None], boxes[:, 1, None, None, None]
    place = start + channel[:, None, None] * area + (top + line[:, None]) * width + left + column
    window = images.pixels[place.clamp_(max=len(images.pixels) - 1)]
    at_corner = torch.cat([torch.zeros_like(boxes[:, :2]), boxes[:, 2:]], dim=1)
    return _by_products(window, at_corner, flipped, size)


def _by_products(images: Tensor, boxes: Tensor, flipped: Tensor, size: int) -> Tensor:
    count, channels, image_height, image_width = images.shape
    top, left, height, width = boxes.unbind(1)
    rows = interpolation(top, height, image_height, size)
    columns = interpolation(left, width, image_width, size, flipped)
    # With height first in memory, then channel, both products are batched matrix products without another copy.
    lines = images.permute(0, 2, 1, 3).float().reshape(count, image_height, channels * image_width)
    lines = torch.bmm(rows, lines).view(count, size * channels, image_width)
    return torch.bmm(lines, columns.transpose(1, 2)).view(count, size, channels, size).permute(0, 2, 1, 3)
