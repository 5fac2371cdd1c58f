"""Choosing pairs: ranks of partners, the most similar pairs, and a cap on the partners of one image."""

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows

Similarities = NDArray[np.float64]


def partner_ranks(a: Rows, b: Rows, similarity: Similarities) -> tuple[Rows, Rows]:
    """Rank (from 0) of b among the listed partners of a, and of a among those of b.

    If the list holds all pairs above some similarity, these are the ranks among all images: every more similar partner is in
    the list too. Equal similarities are ranked by row number.
    """
    anchors, partners = np.concatenate([a, b]), np.concatenate([b, a])
    order = np.lexsort((partners, -np.concatenate([similarity, similarity]), anchors))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order)) - np.searchsorted(anchors[order], anchors[order], side="left")
    return ranks[: len(a)], ranks[len(a) :]


def most_similar_first(a: Rows, b: Rows, similarity: Similarities) -> Rows:
    """The order of the pairs, the most similar first; equal similarities by row numbers."""
    return np.lexsort((b, a, -similarity))


def capped(a: Rows, b: Rows, similarity: Similarities, cap: int) -> NDArray[np.bool_]:
    """Which pairs to keep so that no image has more than `cap` partners, greedily from the most similar pair on: bool (m,)."""
    degree: dict[int, int] = {}
    keep = np.zeros(len(a), bool)
    for pair in most_similar_first(a, b, similarity):
        left, right = int(a[pair]), int(b[pair])
        if degree.get(left, 0) < cap and degree.get(right, 0) < cap:
            degree[left] = degree.get(left, 0) + 1
            degree[right] = degree.get(right, 0) + 1
            keep[pair] = True
    return keep
