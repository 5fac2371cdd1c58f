"""Which images a flood comes from."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from miner.pairs.similarity import Rows, Vectors, rescore

_SHOWN = 5


def densest(
    ends: Iterable[Rows], vectors: Vectors, lengths: NDArray[np.float64], threshold: float
) -> tuple[tuple[int, int], ...]:
    """The rows named most often, and how many others are at or above the threshold, most first.

    Args:
        ends: row numbers of both sides of the pairs found so far.
        vectors: (n, d) as stored.
        lengths: their `row_lengths`, (n,).
        threshold: lowest cosine of a pair.
    """
    named = np.zeros(len(vectors), np.int64)
    for rows in ends:
        named += np.bincount(rows, minlength=len(vectors))
    crowds = []
    for row in np.argsort(-named, kind="stable")[: min(_SHOWN, np.count_nonzero(named))].tolist():
        others = np.delete(np.arange(len(vectors)), row)
        cosines = rescore(vectors, lengths, np.full_like(others, row), others)
        crowds.append((row, int((cosines >= threshold).sum())))
    return tuple(sorted(crowds, key=lambda crowd: -crowd[1]))
