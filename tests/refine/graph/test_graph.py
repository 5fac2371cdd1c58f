"""Which node receives from which, on five nodes that can be checked by hand."""

import numpy as np
import pytest

from miner.refine.graph.graph import attach, drop_edges, edgeless, from_neighbours, random_neighbours, reverse
from tests.refine.graphs import senders

# Node 0 chose 1, 1 chose 2, 2 chose 1, 3 chose 2, 4 chose 0.
CHOSEN = np.array([[1], [2], [1], [2], [0]])
COSINES = np.array([[0.5], [0.9], [0.9], [0.4], [0.2]], np.float32)


def test_directed_node_receives_from_its_neighbours() -> None:
    graph = from_neighbours(CHOSEN, COSINES)
    assert senders(graph) == {0: [1], 1: [2], 2: [1], 3: [2], 4: [0]}
    np.testing.assert_array_equal(graph.weights, COSINES.ravel())


def test_reversed_node_receives_from_those_that_chose_it() -> None:
    assert senders(reverse(from_neighbours(CHOSEN, COSINES))) == {0: [4], 1: [0, 2], 2: [1, 3], 3: [], 4: []}


def test_symmetric_adds_reverse_edges_and_mutual_keeps_pairs() -> None:
    symmetric = from_neighbours(CHOSEN, COSINES, "symmetric")
    assert senders(symmetric) == {0: [1, 4], 1: [0, 2], 2: [1, 3], 3: [2], 4: [0]}
    np.testing.assert_array_equal(symmetric.weights, np.float32([0.5, 0.2, 0.5, 0.9, 0.9, 0.4, 0.4, 0.2]))
    assert senders(from_neighbours(CHOSEN, COSINES, "mutual")) == {0: [], 1: [2], 2: [1], 3: [], 4: []}


def test_attached_node_receives_and_never_sends() -> None:
    graph = attach(from_neighbours(CHOSEN[:3], COSINES[:3]), np.array([[2, 0], [1, 2]]), np.ones((2, 2), np.float32))
    assert senders(graph) == {0: [1], 1: [2], 2: [1], 3: [0, 2], 4: [1, 2]}
    with pytest.raises(ValueError, match="old ones"):
        attach(edgeless(3), np.array([[3]]), np.ones((1, 1), np.float32))


def test_dropped_edges_are_a_share_and_follow_the_seed() -> None:
    ids = random_neighbours(400, 10, 400, seed=1)
    graph = from_neighbours(ids, np.ones(ids.shape, np.float32))
    thin = drop_edges(graph, 0.3, seed=2)
    assert abs(len(thin.sources) / 4000 - 0.7) < 0.03
    assert senders(thin) == senders(drop_edges(graph, 0.3, seed=2)) != senders(drop_edges(graph, 0.3, seed=3))
    assert all(set(some) <= set(senders(graph)[node]) for node, some in senders(thin).items())
    assert drop_edges(graph, 0, seed=0) is graph


@pytest.mark.parametrize(("rows", "k", "gallery_rows", "first_row"), [(20, 19, 20, 0), (9, 4, 12, 12), (30, 3, 30, 0)])
def test_random_neighbours_are_different_others(rows, k, gallery_rows, first_row) -> None:
    ids = random_neighbours(rows, k, gallery_rows, seed=0, first_row=first_row)
    for row, chosen in enumerate(ids):
        assert len({*chosen.tolist(), first_row + row}) == k + 1 and chosen.min() >= 0 and chosen.max() < gallery_rows
