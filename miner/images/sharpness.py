"""How sharp an image is, without a reference."""

import numpy as np
from PIL import Image

from miner.images.resize import PixelSize


def laplacian_variance(image: Image.Image, size: PixelSize) -> float:
    """Variance of the Laplacian of the luminance (Pech-Pacheco et al., ICPR 2000, LAPV); higher is sharper.

    Images of one scene are compared at one size: a small copy has the higher variance as it is, and enlarged the lower one.

    Args:
        image: RGB.
        size: width and height at which the image is measured, in pixels.
    Returns:
        The variance, computed in integers up to the last division; 0 for fewer than 3 x 3 pixels.
    """
    grey = np.asarray(image.convert("L").resize(size, Image.Resampling.BICUBIC), np.int64)
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    count = max(laplacian.size, 1)
    return (count * int((laplacian**2).sum()) - int(laplacian.sum()) ** 2) / count**2
