"""Neighbour lists for graph networks, from the exact engine of `miner pairs`."""

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import MemoryVectors, Rows, Vectors, blocks
from miner.engine import Progress
from miner.errors import UsageError
from miner.pairs.neighbours.graph import NeighbourGraph
from miner.refine.graph.graph import Weights

_BLOCK_ROWS = 4096


def nearest_lists(vectors: Vectors, k: int, *, first: int = 0, among: int | None = None) -> tuple[Rows, Weights]:
    """The k other rows most similar to each row, by the cosine of the stored vectors, ties by number.

    Args:
        vectors: as stored.
        k: neighbours per row.
        first: lists of the rows from here on.
        among: only the first so many rows can be neighbours; all, if not given.
    Returns:
        int64 (n - first, k) and cosines float32 (n - first, k).
    Raises:
        UsageError: there are not so many other rows.
    """
    others = (len(vectors) if among is None else among) - (1 if among is None or first < among else 0)
    if k > others:
        raise UsageError(f"--neighbors {k}: there are only {others} other images.")
    search = NeighbourGraph(vectors, k, among)
    ids = np.empty((len(vectors) - first, k), np.int64)
    cosines = np.empty(ids.shape, np.float32)
    with Progress("neighbours", len(ids), "images") as progress:
        for start, stop in blocks(len(ids), _BLOCK_ROWS):
            ids[start:stop], cosines[start:stop] = search.nearest(first + start, first + stop)
            progress.advance(stop - start)
    return ids, cosines


def message_weights(cosines: Weights, by_cosine: bool) -> Weights:
    """Equal weights, or the cosines that are above 0."""
    return cosines.clip(0) if by_cosine else np.ones_like(cosines)


def stacked(*parts: NDArray[np.floating]) -> MemoryVectors:
    """Vectors one after the other, in memory."""
    return MemoryVectors(np.concatenate(parts))
