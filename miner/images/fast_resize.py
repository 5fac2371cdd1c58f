"""A window of a resized image by torch's vector instructions: nearly the pixels of Pillow, two to four times as fast."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from miner.images.resize import MAX_PIXELS, PixelSize, Window, columns_first, resize_window

_MODES = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}


def fast_resize_window(
    image: Image.Image,
    size: PixelSize,
    resampling: Image.Resampling,
    window: Window,
    *,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """`resize_window`, except that a few of a thousand values may differ by one or two levels.

    Torch computes as Pillow does, with weights of 16 bits instead of 22. Pillow does what torch cannot do in the same order.

    Args:
        image, size, resampling, window, max_pixels: see `resize_window`.
    Returns:
        uint8 (height, width, 3) of the window.
    """
    known = resampling in _MODES and columns_first(image.size, size) and size[0] * size[1] <= max_pixels
    if not known or size == image.size:
        return np.asarray(resize_window(image, size, resampling, window, max_pixels=max_pixels))
    left, top, right, bottom = window
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)  # a copy, as torch wants one to write to
    pixels = values.view(1, image.height, image.width, 3).permute(0, 3, 1, 2)
    whole = functional.interpolate(pixels, size=size[::-1], mode=_MODES[resampling], antialias=True)
    return whole[0].permute(1, 2, 0).numpy()[top:bottom, left:right]
