"""Smoothing against sums written out."""

import numpy as np

from miner.refine.graph.adjacency import smooth
from miner.refine.graph.graph import edgeless, from_neighbours
from tests.refine.graphs import clusters

FIVE = clusters(5, 0)


def test_smoothing_written_out() -> None:
    graph = from_neighbours(np.array([[1, 2], [0, 2], [0, 1]]), np.ones((3, 2), np.float32))
    mixed = 0.25 * FIVE[0] + 0.75 * (FIVE[1] + FIVE[2]) / 2
    np.testing.assert_allclose(smooth(FIVE[:3], graph, 0.25, 1)[0], mixed / np.linalg.norm(mixed), atol=1e-6)
    twice = smooth(smooth(FIVE[:3], graph, 0.25, 1), graph, 0.25, 1)
    np.testing.assert_allclose(smooth(FIVE[:3], graph, 0.25, 2), twice, atol=1e-6)


def test_smoothing_leaves_isolated_images_alone() -> None:
    np.testing.assert_allclose(smooth(FIVE, edgeless(5), 0.25, 2), FIVE, atol=1e-6)
