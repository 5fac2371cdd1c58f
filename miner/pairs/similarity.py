"""The one similarity that counts: the cosine of the stored vectors in float64.

Engines propose candidates in any precision; what they propose is measured here, and only this number is compared with the
band and written to disk. So every engine, tile size, device and restart gives the same pairs.
"""

import numpy as np
import torch
from numpy.typing import NDArray

Vectors = NDArray[np.floating]
Rows = NDArray[np.int64]

_CHUNK_ROWS = 1024


def rescore(vectors: Vectors, lengths: NDArray[np.float64], a: Rows, b: Rows) -> NDArray[np.float64]:
    """Cosines of row pairs.

    The sum over one pair does not depend on which other pairs are in the call. For float16 vectors of length near 1 it is
    even exact: a product has at most 22 significant bits and is a multiple of 2**-48, so that sums below 16 fit in float64.

    Args:
        vectors: (n, d), float16 or float32 as stored; rows need not have length 1.
        lengths: their `row_lengths`, (n,).
        a, b: row numbers, (m,).
    Returns:
        float64 (m,).
    """
    cosines = np.empty(len(a), np.float64)
    for start in range(0, len(a), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        products = _float64(vectors[a[part]]) * _float64(vectors[b[part]])
        cosines[part] = products.numpy().sum(axis=1) / (lengths[a[part]] * lengths[b[part]])
    return cosines


def row_lengths(vectors: Vectors) -> NDArray[np.float64]:
    """Euclidean length of each row, float64 (n,)."""
    lengths = np.empty(len(vectors), np.float64)
    for start in range(0, len(vectors), _CHUNK_ROWS):
        rows = _float64(vectors[start : start + _CHUNK_ROWS])
        lengths[start : start + _CHUNK_ROWS] = np.sqrt((rows * rows).numpy().sum(axis=1))
    return lengths


def unit_rows(vectors: Vectors) -> NDArray[np.float32]:
    """Rows scaled to length 1 in float64, rounded to float32 (n, d): the input of the engines."""
    units = np.empty(vectors.shape, np.float32)
    lengths = row_lengths(vectors)
    for start in range(0, len(vectors), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        units[part] = (_float64(vectors[part]) / torch.from_numpy(lengths[part, None])).float().numpy()
    return units


def _float64(rows: Vectors) -> torch.Tensor:
    """Exact; torch converts and multiplies several times faster than numpy. Sums stay with numpy, whose order is fixed."""
    return torch.from_numpy(rows).double()


def float32_margin(dim: int) -> float:
    """How far a float32 inner product of `unit_rows` can lie from the true cosine.

    With u = 2**-24: rounding each coordinate of x and y by a factor within 1 +- u changes <x, y> by at most 2u + u**2 (Cauchy-
    Schwarz, |x| = |y| = 1), and summing d products in float32 in any order, fused or not, adds at most d*u / (1 - d*u) times
    sum |x_i y_i| <= (1 + u)**2. The bound below is their sum, with room for the float64 arithmetic of `rescore`.
    """
    unit = 2.0**-24
    if dim * unit > 0.01:
        raise ValueError(f"dimension {dim} is too large for the float32 engines")
    return (dim * unit / (1 - dim * unit) + 4 * unit) * 1.01
