"""Neighbour lists against a sort of all cosines."""

import numpy as np

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.pairs.neighbours.graph import NeighbourGraph
from miner.refine.modes.modes import nearest_lists


def test_lists_in_a_gallery_equal_a_sort_with_ties_by_row() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.integers(-1, 2, (60, 4)).astype(np.float32)  # full of equal cosines
    vectors[~vectors.any(axis=1), 0] = 1
    ids, cosines = nearest_lists(MemoryVectors(vectors), 7, first_row=40, gallery_rows=40)
    units = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    wanted = np.argsort(-np.round(units[40:] @ units[:40].T, 12), axis=1, kind="stable")[:, :7]
    np.testing.assert_array_equal(ids, wanted)
    np.testing.assert_allclose(cosines, np.take_along_axis(units[40:] @ units[:40].T, wanted, axis=1), atol=1e-6)
    alone = NeighbourGraph(MemoryVectors(vectors[:40]), 5).nearest(0, 40)[0]
    np.testing.assert_array_equal(nearest_lists(MemoryVectors(vectors), 5, gallery_rows=40)[0][:40], alone)
