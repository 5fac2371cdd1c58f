"""Who hears whom, on five nodes that can be checked by hand."""

import numpy as np
import pytest

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.pairs.neighbours.graph import NeighbourGraph
from miner.refine.graph.graph import attach, drop_edges, edgeless, from_neighbours, random_neighbours, reverse
from miner.refine.graph.neighbours import nearest_lists
from tests.refine.graphs import senders

# Node 0 chose 1, 1 chose 2, 2 chose 1, 3 chose 2, 4 chose 0.
CHOSEN = np.array([[1], [2], [1], [2], [0]])
COSINES = np.array([[0.5], [0.9], [0.9], [0.4], [0.2]], np.float32)


def test_directed_node_hears_the_neighbours_it_chose() -> None:
    graph = from_neighbours(CHOSEN, COSINES)
    assert senders(graph) == {0: [1], 1: [2], 2: [1], 3: [2], 4: [0]}
    np.testing.assert_array_equal(graph.weights, COSINES.ravel())


def test_reversed_node_hears_those_that_chose_it() -> None:
    assert senders(reverse(from_neighbours(CHOSEN, COSINES))) == {0: [4], 1: [0, 2], 2: [1, 3], 3: [], 4: []}


def test_symmetric_and_mutual() -> None:
    symmetric = from_neighbours(CHOSEN, COSINES, "symmetric")
    assert senders(symmetric) == {0: [1, 4], 1: [0, 2], 2: [1, 3], 3: [2], 4: [0]}
    np.testing.assert_array_equal(symmetric.weights, np.float32([0.5, 0.2, 0.5, 0.9, 0.9, 0.4, 0.4, 0.2]))
    assert senders(from_neighbours(CHOSEN, COSINES, "mutual")) == {0: [], 1: [2], 2: [1], 3: [], 4: []}


def test_attached_node_hears_and_is_never_senders() -> None:
    graph = attach(from_neighbours(CHOSEN[:3], COSINES[:3]), np.array([[2, 0], [1, 2]]), np.ones((2, 2), np.float32))
    assert senders(graph) == {0: [1], 1: [2], 2: [1], 3: [0, 2], 4: [1, 2]}
    with pytest.raises(ValueError, match="old ones"):
        attach(edgeless(3), np.array([[3]]), np.ones((1, 1), np.float32))


def test_dropped_edges_are_a_share_of_all_and_depend_on_the_seed() -> None:
    ids = random_neighbours(400, 10, 400, seed=1)
    graph = from_neighbours(ids, np.ones(ids.shape, np.float32))
    thin = drop_edges(graph, 0.3, seed=2)
    assert abs(len(thin.sources) / 4000 - 0.7) < 0.03
    assert senders(thin) == senders(drop_edges(graph, 0.3, seed=2)) != senders(drop_edges(graph, 0.3, seed=3))
    assert all(set(some) <= set(senders(graph)[node]) for node, some in senders(thin).items())
    assert drop_edges(graph, 0, seed=0) is graph


@pytest.mark.parametrize(("rows", "k", "among", "first"), [(20, 19, 20, 0), (9, 4, 12, 12), (30, 3, 30, 0)])
def test_random_neighbours_are_others_and_different(rows, k, among, first) -> None:
    ids = random_neighbours(rows, k, among, seed=0, first=first)
    for row, chosen in enumerate(ids):
        assert len({*chosen.tolist(), first + row}) == k + 1 and chosen.min() >= 0 and chosen.max() < among


def test_lists_among_the_first_rows_equal_a_sort_with_ties_by_number() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.integers(-1, 2, (60, 4)).astype(np.float32)  # full of equal cosines
    vectors[~vectors.any(axis=1), 0] = 1
    ids, cosines = nearest_lists(MemoryVectors(vectors), 7, first=40, among=40)
    units = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    wanted = np.argsort(-np.round(units[40:] @ units[:40].T, 12), axis=1, kind="stable")[:, :7]
    np.testing.assert_array_equal(ids, wanted)
    np.testing.assert_allclose(cosines, np.take_along_axis(units[40:] @ units[:40].T, wanted, axis=1), atol=1e-6)
    alone = NeighbourGraph(MemoryVectors(vectors[:40]), 5).nearest(0, 40)[0]
    np.testing.assert_array_equal(nearest_lists(MemoryVectors(vectors), 5, among=40)[0][:40], alone)
