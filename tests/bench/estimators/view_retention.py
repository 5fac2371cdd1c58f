"""Does a pair survive strong augmentation? The partner must stay near the view, as often as the image itself stays near.

Assumption: what an augmentation takes away (place, colour, scale) is what wrong pairs have in common.
"""

import numpy as np
from numpy.typing import NDArray

from . import Estimates, Slices, Units

_NEAR = 0.05


def view_retention(units: Units, views: NDArray[np.float32], rows: NDArray[np.int64], slices: Slices) -> Estimates:
    """Retention of the pairs over retention of the images themselves, both above chance.

    Args:
        units: unit rows of all images, (n, d).
        views: unit rows of one strong augmentation of some images, (m, d).
        rows: which images those are, ascending, (m,).
        slices: the pairs; both images of each are in `rows`.
    """
    similar = views @ units.T
    near = np.quantile(similar, 1 - _NEAR, axis=1)
    itself = np.mean(similar[np.arange(len(rows)), rows] >= near)
    estimates = []
    for a, b in slices:
        views_a, views_b = np.searchsorted(rows, a), np.searchsorted(rows, b)
        kept = np.mean([similar[views_a, b] >= near[views_a], similar[views_b, a] >= near[views_b]])
        estimates.append((kept - _NEAR) / max(itself - _NEAR, 1e-6))
    return np.clip(np.array(estimates), 0, 1)
