"""From a decoded image to the pixels that an encoder was trained to see."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

Triple = tuple[float, float, float]
RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Preprocess:
    """Resize the short side, crop the centre, normalise: the evaluation transform of nearly every encoder.

    Attributes:
        resize: length of the short side after resizing, in pixels.
        crop: side of the centre crop, in pixels.
        interpolation: a name in `RESAMPLING`; Pillow's antialiased resampling.
        mean, std: per channel, of pixels scaled to 0..1.
    """

    resize: int
    crop: int
    interpolation: str
    mean: Triple
    std: Triple

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """An RGB image as uint8 (crop, crop, 3)."""
        resized = resize_short_side(image, self.resize, RESAMPLING[self.interpolation])
        return centre_crop(np.asarray(resized, np.uint8), self.crop)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 (n, crop, crop, 3) on any device as float32 (n, 3, crop, crop), channels last in memory."""
        mean = torch.tensor(self.mean, device=pixels.device) * 255
        std = torch.tensor(self.std, device=pixels.device) * 255
        return ((pixels.float() - mean) / std).permute(0, 3, 1, 2)

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def resize_short_side(image: Image.Image, length: int, resampling: Image.Resampling) -> Image.Image:
    """Resize so that the short side has `length` pixels; the long side is rounded down, as torchvision does."""
    width, height = image.size
    if width <= height:
        size = (length, max(length, int(length * height / width)))
    else:
        size = (max(length, int(length * width / height)), length)
    return image if size == image.size else image.resize(size, resampling)


def centre_crop(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The middle (side, side, 3) of (height, width, 3); what is too small is padded with black, as torchvision does."""
    height, width = pixels.shape[:2]
    if height < side or width < side:
        down, right = max(side - height, 0), max(side - width, 0)
        pixels = np.pad(pixels, ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0)))
        height, width = pixels.shape[:2]
    top, left = round((height - side) / 2), round((width - side) / 2)
    return pixels[top : top + side, left : left + side]
