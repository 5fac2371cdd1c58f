"""The similarity of a pair: the cosine of the two stored vectors in float64.

Engines propose candidates in any precision. `rescore` measures each candidate, and only its cosine is compared with the band and
written to disk. So every engine, tile size, device and restart gives the same pairs.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows, Vectors, blocks
from miner.errors import MinerError
from miner.pairs.arithmetic.sampled_products import products_at
from miner.pairs.arithmetic.threads import Buffer, Threads

# For the rows of each side of a chunk of pairs, in float64. Those on the left are used one after another.
_LEFT_BYTES, _RIGHT_BYTES = 24 << 20, 8 << 20
_PIECE_ROWS = 128  # that stay in the cache while they are converted
_GATHERED_ROWS = 1024
LONGEST_EXACT = 3.9
_SURELY_ONE = 1 - 2.0**-51  # rounding moves the cosine of equal or opposite vectors by at most as much
ROUNDOFF = 2.0**-24  # of float32
_LEFT, _RIGHT = Buffer(), Buffer()


def rescore(vectors: Vectors, a: Rows, b: Rows, threads: Threads | None = None) -> NDArray[np.float64]:
    """Cosines of row pairs, float64 (m,).

    The sum of one pair does not depend on the other pairs of the call. For float16 vectors of length near 1 the sum is exact
    in any order: a product has at most 22 significant bits and is a multiple of 2**-48, so sums below 16 fit in float64.
    The cosine of equal vectors is 1, that of opposite ones -1, and no cosine lies outside.

    Args:
        vectors: float16 or float32 as stored; rows need not have length 1.
        a, b: row numbers, (m,).
        threads: share the work; the cosines are the same without them.
    """
    cosines = np.empty(len(a), np.float64)
    groups = _groups(a, _most_rows(vectors.dim, _LEFT_BYTES))

    def measure(group: Rows) -> NDArray[np.float64]:
        return _cosines(vectors, a[group], b[group])

    for group, measured in zip(groups, threads.map(measure, groups) if threads else map(measure, groups), strict=True):
        cosines[group] = measured
    return cosines


def row_lengths(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Euclidean length of each row (n, d), float64 (n,); it does not depend on the other rows."""
    pieces = [_lengths(float64(rows[start:stop]), rows.dtype) for start, stop in blocks(len(rows), _PIECE_ROWS)]
    return np.concatenate([np.empty(0), *pieces])


def unit_rows(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows scaled to length 1 (n, d), each coordinate within a factor of 1 +- 2 u of the exact one, u = 2**-24."""
    unit_vectors = np.empty(rows.shape, np.float32)
    for start, stop in blocks(len(rows), _GATHERED_ROWS):
        part = rows[start:stop]
        lengths = row_lengths(part)
        check_lengths(lengths, start)
        unit_vectors[start:stop] = scaled(part, lengths).numpy()
    return unit_vectors


def check_lengths(lengths: NDArray[np.float64], first_row: int | None = None) -> None:
    """Refuse vectors that are zero or not finite.

    Args:
        first_row: its number if the rows are consecutive, so that the error can name the bad row.
    """
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(bad):
        where = "" if first_row is None else f" (the first is row {first_row + bad[0]} of those searched)"
        raise MinerError(f"The embeddings hold vectors that are zero or not finite{where}. Embed again with --force.")


def scaled(rows: NDArray[np.floating], lengths: NDArray[np.float64]) -> torch.Tensor:
    """Rows divided by their lengths, float32 (n, d), as `unit_rows` gives them."""
    if rows.dtype == np.float16:  # float32 holds these numbers and lengths without underflow, and is faster
        return torch.from_numpy(np.ascontiguousarray(rows)).float().div_(torch.from_numpy(lengths).float()[:, None])
    return (float64(rows) / torch.from_numpy(lengths)[:, None]).float()


def float64(rows: NDArray[np.floating]) -> torch.Tensor:
    """A copy of the rows in float64; torch converts several times faster than numpy."""
    return torch.from_numpy(np.ascontiguousarray(rows)).to(torch.float64, copy=True)


def float32_margin(dim: int) -> float:
    """Largest distance of a float32 inner product of two `unit_rows` from the true cosine.

    With u = 2**-24: changing each coordinate of x and y by a factor within 1 +- 2 u changes <x, y> by at most 4 u + 4 u**2
    (Cauchy-Schwarz, |x| = |y| = 1). Summing d products in float32 in any order, fused or not, adds at most
    d u / (1 - d u) times sum |x_i y_i| <= (1 + 2 u)**2. The bound below is their sum, with room for the float64 arithmetic of
    `rescore`.
    """
    if dim * ROUNDOFF > 0.01:
        raise ValueError(f"dimension {dim} is too large for the float32 engines")
    return (dim * ROUNDOFF / (1 - dim * ROUNDOFF) + 6 * ROUNDOFF) * 1.01


def _most_rows(dim: int, size_bytes: int) -> int:
    """Rows that are held in float64 for a side of the pairs."""
    return max(size_bytes // (8 * dim), 1)


def _groups(rows: Rows, most: int) -> list[Rows]:
    """Places of the rows in ascending order, in groups of at most so many different rows."""
    order = np.argsort(rows)
    ordered = rows[order]
    before = np.cumsum(np.diff(ordered, prepend=ordered[:1]) != 0)
    return np.split(order, np.flatnonzero(np.diff(before // most)) + 1)


def _cosines(vectors: Vectors, a: Rows, b: Rows) -> NDArray[np.float64]:
    """Cosines of pairs with few different rows a, which ascend; each row is converted once."""
    cosines = np.empty(len(a), np.float64)
    left, left_lengths, left_places = _converted(vectors, a, _LEFT)
    for chunk in map(np.sort, _groups(b, _most_rows(vectors.dim, _RIGHT_BYTES))):
        right, right_lengths, columns = _converted(vectors, b[chunk], _RIGHT)
        rows = left_places[chunk]
        longest = max(left_lengths.max(initial=0), right_lengths.max(initial=0))
        if vectors.dtype == np.float16 and longest < LONGEST_EXACT:
            products = products_at(left, right, rows, columns)
        else:
            products = _summed_one_by_one(left, right, rows, columns)
        cosines[chunk] = products / (left_lengths[rows] * right_lengths[columns])
    return np.where(np.abs(cosines) >= _SURELY_ONE, np.sign(cosines), cosines)


def _converted(vectors: Vectors, rows: Rows, buffer: Buffer) -> tuple[torch.Tensor, NDArray[np.float64], Rows]:
    """The different rows in float64 (m, d), in memory of this thread, their lengths (m,), and which of them each row is."""
    different = np.unique(rows)
    places = np.empty(len(vectors), np.int64)
    places[different] = np.arange(len(different))
    converted = buffer.of((len(different), vectors.dim), torch.float64)
    lengths = np.empty(len(different), np.float64)
    for start, stop in blocks(len(different), _PIECE_ROWS):
        piece = converted[start:stop]
        piece.copy_(torch.from_numpy(vectors.take(different[start:stop])))
        lengths[start:stop] = _lengths(piece, vectors.dtype)
    return converted, lengths, places[rows]


def _lengths(rows: torch.Tensor, dtype: np.dtype[np.floating]) -> NDArray[np.float64]:
    """Lengths of rows in float64 that are stored in the dtype."""
    numbers = rows.numpy()
    if dtype == np.float16:  # where they are short, the sums are exact in any order
        with np.errstate(invalid="ignore", over="ignore"):
            lengths: NDArray[np.float64] = np.sqrt(np.vecdot(numbers, numbers))
        if lengths.max(initial=0) < LONGEST_EXACT:
            return lengths
    return np.asarray(np.sqrt(rows.square().numpy().sum(axis=1)))


def _summed_one_by_one(left: torch.Tensor, right: torch.Tensor, rows: Rows, columns: Rows) -> NDArray[np.float64]:
    """Inner products, each summed by numpy in the same order of dimensions every time."""
    sums = np.empty(len(rows), np.float64)
    for start, stop in blocks(len(rows), _GATHERED_ROWS):
        products = left[torch.from_numpy(rows[start:stop])] * right[torch.from_numpy(columns[start:stop])]
        sums[start:stop] = products.numpy().sum(axis=1)
    return sums
