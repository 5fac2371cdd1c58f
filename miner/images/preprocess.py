"""From a decoded image to the pixels that an encoder was trained on."""

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from miner.images.decode import DecodedImage
from miner.images.normalise import normalise
from miner.images.resize import MAX_PIXELS, PixelSize, Window, columns_first, resize_window

Triple = tuple[float, float, float]
ResizeMode = Literal["center", "squash", "border", "square", "whole"]
RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}
_TORCH_MODES = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocess:
    """Resize, crop the centre, normalise: the evaluation transform of nearly every encoder.

    Attributes:
        resize: length in pixels of the side that `mode` resizes.
        crop: side of the centre crop in pixels.
        interpolation: a name in `RESAMPLING`; Pillow's antialiased resampling.
        mean, std: the mean and standard deviation of the channels, on the scale [0, 1].
        mode: which side is resized. `center`: the short side, as torchvision and timm do. `squash`: both sides, so that the shape
            changes. `border`: the long side; the rest is filled with the mean colour (both as timm's crop modes of these names).
            `square`: the central square alone, as `miner eval` does. `whole`: the short side if it is longer, and nothing is
            cropped, so that each image keeps its shape, as in `miner train`.
    """

    resize: int
    crop: int
    interpolation: str
    mean: Triple
    std: Triple
    mode: ResizeMode = "center"

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """An RGB image as uint8 (crop, crop, 3)."""
        return self.pixels_of(DecodedImage(image, image.size))

    def pixels_of(self, picture: DecodedImage, fast: bool = False) -> NDArray[np.uint8]:
        """A decoded file as uint8 (crop, crop, 3), or (height, width, 3) for `whole`.

        The geometry is that of the original, also if the file was decoded smaller.

        Args:
            fast: whether to resize by `fast_resize_window`, with nearly the same pixels.
        """
        if self.mode == "whole":
            size = self.resized(picture.size)
            box = _source_box(picture, False, size, (0, 0, *size))
            return np.asarray(picture.image.resize(size, RESAMPLING[self.interpolation], box=box))
        fill = tuple(round(255 * level) for level in self.mean) if self.mode == "border" else (0, 0, 0)
        return padded(self._cropped(picture, fast), self.crop, fill)

    def resized(self, size: PixelSize) -> PixelSize:
        """Width and height of an image of `size` after resizing and before the crop."""
        width, height = size
        if self.mode == "whole" and min(size) <= self.resize:
            return size
        if self.mode in ("center", "whole"):
            return short_side_size(size, self.resize)
        if self.mode == "border":
            longest = max(size)
            return round(width * self.resize / longest), round(height * self.resize / longest)
        return self.resize, self.resize

    def needed(self, size: PixelSize, factor: float) -> PixelSize:
        """The least size of a smaller version of an image that still has `factor` pixels per pixel of the result."""
        width, height = self.resized(size)
        if self.mode == "square":
            width, height = (ceil(side * self.resize / min(size)) for side in size)
        return ceil(factor * width), ceil(factor * height)

    def _cropped(self, picture: DecodedImage, fast: bool) -> NDArray[np.uint8]:
        """The resized image, and of each side that is longer than the crop its middle."""
        image, resampling = picture.image, RESAMPLING[self.interpolation]
        width, height = self.resized(picture.size)
        left, top = max(0, round((width - self.crop) / 2)), max(0, round((height - self.crop) / 2))
        window = (left, top, left + min(self.crop, width), top + min(self.crop, height))
        if picture.shrink > 1 or self.mode == "square":
            box = _source_box(picture, self.mode == "square", (width, height), window)
            if picture.shrink == 1 and image.size == (width, height):
                return np.asarray(image)
            return np.asarray(image.resize((window[2] - left, window[3] - top), resampling, box=box))
        resize = fast_resize_window if fast else resize_window
        return np.asarray(resize(image, (width, height), resampling, window))

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 (n, crop, crop, 3) on any device as float32 (n, 3, crop, crop), channels last in memory."""
        return normalise(pixels.permute(0, 3, 1, 2), self.mean, self.std, peak=255)

    def record(self) -> dict[str, Any]:
        """As JSON values; without the mode if it is `center`."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("mode", "center")}


def short_side_size(size: PixelSize, length: int) -> PixelSize:
    """Width and height if the short side has `length` pixels; the long side is rounded down, as torchvision does."""
    width, height = size
    if width <= height:
        return length, max(length, int(length * height / width))
    return max(length, int(length * width / height)), length


def padded(pixels: NDArray[np.uint8], side: int, fill: tuple[int, ...] = (0, 0, 0)) -> NDArray[np.uint8]:
    """Pixels (height, width, 3), not longer than `side`, in the middle of (side, side, 3), as torchvision's centre crop pads."""
    height, width = pixels.shape[:2]
    if height == width == side:
        return pixels
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = fill
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = pixels
    return canvas


def _source_box(
    picture: DecodedImage, square: bool, size: PixelSize, window: Window
) -> tuple[float, float, float, float]:
    """The box in the decoded image, which may be smaller than the original, of a window of the resized image."""
    width, height = picture.size
    left = top = 0.0
    if square:
        left, top = (width - min(width, height)) / 2, (height - min(width, height)) / 2
        width = height = min(width, height)
    across, down = width / size[0], height / size[1]
    x0, y0, x1, y1 = (
        left + across * window[0],
        top + down * window[1],
        left + across * window[2],
        top + down * window[3],
    )
    x, y = picture.origin
    return (
        x + x0 / picture.shrink,
        y + y0 / picture.shrink,
        min(x + x1 / picture.shrink, picture.image.width),
        min(y + y1 / picture.shrink, picture.image.height),
    )


def fast_resize_window(
    image: Image.Image,
    size: PixelSize,
    resampling: Image.Resampling,
    window: Window,
    *,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """`resize_window` by torch, two to four times as fast: a few of a thousand values may differ by one or two levels.

    Torch computes as Pillow does, with weights of 16 bits instead of 22. Pillow does what torch cannot do in the same order.
    The arguments are those of `resize_window`; the result is the window, uint8 (height, width, 3).
    """
    known = resampling in _TORCH_MODES and columns_first(image.size, size) and size[0] * size[1] <= max_pixels
    if not known or size == image.size:
        return np.asarray(resize_window(image, size, resampling, window, max_pixels=max_pixels))
    left, top, right, bottom = window
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)  # a copy, as torch wants one to write to
    pixels = values.view(1, image.height, image.width, 3).permute(0, 3, 1, 2)
    whole = functional.interpolate(pixels, size=size[::-1], mode=_TORCH_MODES[resampling], antialias=True)
    return whole[0].permute(1, 2, 0).numpy()[top:bottom, left:right]
