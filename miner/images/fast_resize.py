"""The middle of a resized image by torch's vector instructions: nearly the same pixels as Pillow's, two to four times as fast."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from miner.images.resize import PixelSize, Window, columns_first, fits_memory, resize_window

_MODES = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}


def fast_resize_window(
    image: Image.Image, size: PixelSize, resampling: Image.Resampling, window: Window
) -> NDArray[np.uint8]:
    """`resize_window`, where a few of a thousand values may differ by a level or two.

    Torch goes the same way as Pillow, with weights of 16 bits instead of 22. What it does not offer, or would do the other way
    round, Pillow does.

    Args:
        image: RGB.
        size: width and height that the whole image is resized to.
        window: inside that size.
    Returns:
        uint8 (height, width, 3) of the window.
    """
    known = resampling in _MODES and columns_first(image.size, size) and fits_memory(size)
    if not known or size == image.size:
        return np.asarray(resize_window(image, size, resampling, window))
    left, top, right, bottom = window
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)  # a copy, as torch wants one to write to
    pixels = values.view(1, image.height, image.width, 3).permute(0, 3, 1, 2)
    whole = functional.interpolate(pixels, size=size[::-1], mode=_MODES[resampling], antialias=True)
    return whole[0].permute(1, 2, 0).numpy()[top:bottom, left:right]
