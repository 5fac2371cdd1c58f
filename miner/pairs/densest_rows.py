"""Which images a flood comes from."""

from collections.abc import Iterable

import numpy as np

from miner.artifacts.embeddings.vectors import Rows, Vectors
from miner.pairs.arithmetic.cosine import rescore

_SHOWN = 5


def densest(ends: Iterable[Rows], vectors: Vectors, threshold: float) -> tuple[tuple[int, int], ...]:
    """The rows named most often, and how many others are at or above the threshold, most first.

    Args:
        ends: row numbers of both sides of the pairs found so far.
        vectors: as stored.
        threshold: lowest cosine of a pair.
    """
    named = np.zeros(len(vectors), np.int64)
    for rows in ends:
        named += np.bincount(rows, minlength=len(vectors))
    crowds = []
    for row in np.argsort(-named, kind="stable")[: min(_SHOWN, np.count_nonzero(named))].tolist():
        others = np.delete(np.arange(len(vectors)), row)
        cosines = rescore(vectors, np.full_like(others, row), others)
        crowds.append((row, int((cosines >= threshold).sum())))
    return tuple(sorted(crowds, key=lambda crowd: -crowd[1]))
