"""The images with the most partners: where a flood of pairs comes from."""

from collections.abc import Iterable

import numpy as np

from miner.artifacts.embeddings.vectors import Rows, Vectors
from miner.pairs.arithmetic.cosine import rescore

_SHOWN = 5


def densest(ends: Iterable[Rows], vectors: Vectors, threshold: float) -> tuple[tuple[int, int], ...]:
    """The rows that occur most often, each with the number of its partners, most partners first.

    Args:
        ends: row numbers of both images of the pairs found so far.
        vectors: as stored.
        threshold: lowest cosine of a pair.
    """
    occurrences = np.zeros(len(vectors), np.int64)
    for rows in ends:
        occurrences += np.bincount(rows, minlength=len(vectors))
    most_frequent = np.argsort(-occurrences, kind="stable")[: min(_SHOWN, np.count_nonzero(occurrences))]
    counted = []
    for row in most_frequent.tolist():
        others = np.delete(np.arange(len(vectors)), row)
        cosines = rescore(vectors, np.full_like(others, row), others)
        counted.append((row, int((cosines >= threshold).sum())))
    return tuple(sorted(counted, key=lambda pair: -pair[1]))
