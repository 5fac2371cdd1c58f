"""Neighbour lists for graph networks, from the exact search of `miner pairs`."""

import numpy as np

from miner.artifacts.embeddings.vectors import Rows, Vectors, blocks
from miner.engine import Progress
from miner.errors import UsageError
from miner.pairs.neighbours.graph import NeighbourGraph
from miner.refine.graph.graph import Weights

_BLOCK_ROWS = 4096


def nearest_lists(
    vectors: Vectors, k: int, *, first_row: int = 0, gallery_rows: int | None = None
) -> tuple[Rows, Weights]:
    """The k other rows most similar to each row, by the cosine of the stored vectors, ties by row number.

    Args:
        vectors: as stored, n rows.
        k: neighbours per row.
        first_row: rows before this one get no list.
        gallery_rows: only the first so many rows can be neighbours; all, if not given.
    Returns:
        int64 (n - first_row, k) and cosines float32 (n - first_row, k).
    Raises:
        UsageError: there are not so many other rows.
    """
    itself = gallery_rows is None or first_row < gallery_rows
    others = (len(vectors) if gallery_rows is None else gallery_rows) - itself
    if k > others:
        raise UsageError(f"--neighbors {k}: there are only {others} other images.")
    search = NeighbourGraph(vectors, k, gallery_rows)
    ids = np.empty((len(vectors) - first_row, k), np.int64)
    cosines = np.empty(ids.shape, np.float32)
    with Progress("neighbours", len(ids), "images") as progress:
        for start, stop in blocks(len(ids), _BLOCK_ROWS):
            ids[start:stop], cosines[start:stop] = search.nearest(first_row + start, first_row + stop)
            progress.advance(stop - start)
    return ids, cosines


def edge_weights(cosines: Weights, by_cosine: bool) -> Weights:
    """The cosines, 0 for negative ones; or 1 for every edge."""
    return cosines.clip(0) if by_cosine else np.ones_like(cosines)
