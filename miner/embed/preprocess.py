"""From a decoded image to the pixels that an encoder was trained to see."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

Triple = tuple[float, float, float]
Mode = Literal["center", "squash", "border", "square"]
RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocess:
    """Resize, crop the centre, normalise: the evaluation transform of nearly every encoder.

    Attributes:
        resize: length of the side that `mode` speaks of, after resizing, in pixels.
        crop: side of the centre crop, in pixels.
        interpolation: a name in `RESAMPLING`; Pillow's antialiased resampling.
        mean, std: per channel, of pixels scaled to 0..1.
        mode: `center` resizes the short side, as torchvision and timm do; `squash` both sides, so that the shape changes;
            `border` the long side, and fills up with the mean colour (both as timm's crop modes of that name); `square`
            the central square alone, as `miner train` does.
    """

    resize: int
    crop: int
    interpolation: str
    mean: Triple
    std: Triple
    mode: Mode = "center"

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """An RGB image as uint8 (crop, crop, 3)."""
        fill = tuple(round(255 * level) for level in self.mean) if self.mode == "border" else (0, 0, 0)
        return centre_crop(np.asarray(self._resized(image), np.uint8), self.crop, fill)

    def _resized(self, image: Image.Image) -> Image.Image:
        resampling = RESAMPLING[self.interpolation]
        if self.mode == "center":
            return resize_short_side(image, self.resize, resampling)
        size, box = (self.resize, self.resize), None
        if self.mode == "border":
            longest = max(image.size)
            size = (round(image.width * self.resize / longest), round(image.height * self.resize / longest))
        elif self.mode == "square":
            short = min(image.size)
            left, top = (image.width - short) / 2, (image.height - short) / 2
            box = (left, top, left + short, top + short)
        return image if size == image.size else image.resize(size, resampling, box=box)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 (n, crop, crop, 3) on any device as float32 (n, 3, crop, crop), channels last in memory."""
        mean = torch.tensor(self.mean, device=pixels.device) * 255
        std = torch.tensor(self.std, device=pixels.device) * 255
        return ((pixels.float() - mean) / std).permute(0, 3, 1, 2)

    def record(self) -> dict[str, Any]:
        """As JSON values; the usual mode goes without saying."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("mode", "center")}


def resize_short_side(image: Image.Image, length: int, resampling: Image.Resampling) -> Image.Image:
    """Resize so that the short side has `length` pixels; the long side is rounded down, as torchvision does."""
    width, height = image.size
    if width <= height:
        size = (length, max(length, int(length * height / width)))
    else:
        size = (max(length, int(length * width / height)), length)
    return image if size == image.size else image.resize(size, resampling)


def centre_crop(pixels: NDArray[np.uint8], side: int, fill: tuple[int, ...] = (0, 0, 0)) -> NDArray[np.uint8]:
    """The middle (side, side, 3) of (height, width, 3); what is too small is padded, with black as torchvision does."""
    height, width = pixels.shape[:2]
    if height < side or width < side:
        canvas = np.empty((max(height, side), max(width, side), 3), np.uint8)
        canvas[:] = fill
        top, left = (len(canvas) - height) // 2, (canvas.shape[1] - width) // 2
        canvas[top : top + height, left : left + width] = pixels
        pixels, (height, width) = canvas, canvas.shape[:2]
    top, left = round((height - side) / 2), round((width - side) / 2)
    return pixels[top : top + side, left : left + side]
