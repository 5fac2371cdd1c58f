"""Transitivity of the pair graph: of two pairs that share an image, how often the other two images are a pair as well.

Assumption: if pairs join images of one class with probability p, and all images of a class are joined alike, then a path of two
pairs stays in the class with probability p^2; hence the root. Geometry alone closes triangles too (the triangle inequality).
"""

import numpy as np
from scipy import sparse

from . import Estimates, Slices


def closure(images: int, slices: Slices, graph: Slices) -> Estimates:
    """Root of the share of closed paths whose first pair is in the slice.

    Args:
        images: n.
        slices: the pairs.
        graph: the pairs that make up the whole graph, in which paths continue and close.
    """
    joined = _adjacency(images, *(np.concatenate(side) for side in zip(*graph, strict=True)))
    degree = np.asarray(joined.sum(axis=1)).ravel()
    estimates = []
    for a, b in slices:
        common = np.asarray(joined[a].multiply(joined[b]).sum(axis=1)).ravel()
        paths = degree[a] + degree[b] - 2
        estimates.append(np.sqrt(2 * common.sum() / paths.sum()) if paths.sum() else 0.0)
    return np.clip(np.array(estimates), 0, 1)


def _adjacency(images: int, a: np.ndarray, b: np.ndarray) -> sparse.csr_array:
    ones = np.ones(2 * len(a))
    return sparse.csr_array((ones, (np.concatenate([a, b]), np.concatenate([b, a]))), shape=(images, images))
