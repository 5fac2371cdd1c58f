"""Overlap of the two images' lists of nearest neighbours (Jarvis and Patrick 1973).

Assumption: images of one class have the same neighbours, images of different classes do not.
"""

import numpy as np

from . import Estimates, Rows, Slices, share

_STEP = 4096


def shared_neighbours(neighbours: Rows, slices: Slices) -> Estimates:
    """Mean share of common neighbours.

    Args:
        neighbours: row numbers of the k nearest, (n, k).
        slices: the pairs.
    """
    k = neighbours.shape[1]
    estimates = []
    for a, b in slices:
        common = [
            (neighbours[a[start : start + _STEP], :, None] == neighbours[b[start : start + _STEP], None, :]).sum((1, 2))
            for start in range(0, len(a), _STEP)
        ]
        estimates.append(share(np.concatenate(common) / k) if len(a) else float("nan"))
    return np.array(estimates)
