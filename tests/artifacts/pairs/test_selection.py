import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.pairs.selection import capped, partner_ranks
from miner.pairs.arithmetic.cosine import rescore, unit_rows
from miner.pairs.neighbours.graph import NeighbourGraph

A = np.array([0, 0, 0, 1, 2])
B = np.array([1, 2, 3, 2, 3])
SIMILARITY = np.array([0.9, 0.8, 0.8, 0.7, 0.95])


def test_ranks_by_hand() -> None:
    rank_of_b, rank_of_a = partner_ranks(A, B, SIMILARITY)
    # image 0 likes 1, then 2 and 3 (equal, by number); 1 likes 0, 2; 2 likes 3, 0, 1; 3 likes 2, 0.
    assert rank_of_b.tolist() == [0, 1, 2, 1, 0]
    assert rank_of_a.tolist() == [0, 1, 1, 2, 0]


def test_ranks_in_the_list_are_ranks_among_all_images() -> None:
    rng = np.random.default_rng(0)
    units = unit_rows(rng.normal(size=(60, 4)).astype(np.float32))
    cosine = units.astype(np.float64) @ units.T.astype(np.float64)
    a, b = np.triu_indices(60, 1)
    keep = cosine[a, b] >= 0.6
    a, b = a[keep], b[keep]
    np.fill_diagonal(cosine, -2)
    rank_of_b, rank_of_a = partner_ranks(a, b, cosine[a, b])
    place = np.argsort(np.argsort(-cosine, axis=1), axis=1)
    np.testing.assert_array_equal(rank_of_b, place[a, b])
    np.testing.assert_array_equal(rank_of_a, place[b, a])


@pytest.mark.parametrize("cap", [1, 2, 3])
def test_cap_holds_and_no_further_pair_fits(cap: int) -> None:
    rng = np.random.default_rng(cap)
    a, b = np.triu_indices(25, 1)
    similarity = rng.random(len(a))
    keep = capped(a, b, similarity, cap)
    degree = np.bincount(np.concatenate([a[keep], b[keep]]), minlength=25)
    assert degree.max() == cap
    assert not (~keep & (degree[a] < cap) & (degree[b] < cap)).any()
    assert keep[similarity.argmax()]


@settings(max_examples=60, deadline=None)
@given(count=st.integers(3, 40), k=st.integers(1, 6), low=st.sampled_from([-1.0, 0.0, 0.4]), seed=st.integers(0, 999))
def test_mutual_pairs_are_those_of_the_neighbour_graph(count, k, low, seed) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (count, 3)).astype(np.float32)  # many equal similarities
    vectors[~vectors.any(axis=1)] = 1
    k = min(k, count - 1)
    ids, _ = NeighbourGraph(MemoryVectors(vectors), k).nearest(0, count)
    a, b = np.triu_indices(count, 1)
    similarity = rescore(MemoryVectors(vectors), a, b)
    a, b, similarity = (part[similarity >= low] for part in (a, b, similarity))
    rank_of_b, rank_of_a = partner_ranks(a, b, similarity)
    wanted = [bool(right in ids[left] and left in ids[right]) for left, right in zip(a, b, strict=True)]
    assert ((rank_of_b < k) & (rank_of_a < k)).tolist() == wanted


@settings(max_examples=60, deadline=None)
@given(count=st.integers(2, 15), cap=st.integers(1, 5), seed=st.integers(0, 999))
def test_cap_does_not_depend_on_the_order_of_the_pairs(count, cap, seed) -> None:
    rng = np.random.default_rng(seed)
    a, b = np.triu_indices(count, 1)
    similarity = rng.permutation(len(a)) / len(a)
    keep = capped(a, b, similarity, cap)
    order, swap = rng.permutation(len(a)), rng.random(len(a)) < 0.5
    other = capped(np.where(swap, b, a)[order], np.where(swap, a, b)[order], similarity[order], cap)
    assert other.tolist() == keep[order].tolist()
    # A partner is refused only where one of the two has its fill of more similar ones.
    for pair in np.flatnonzero(~keep):
        better = keep & (similarity > similarity[pair])
        ends = np.concatenate([a[better], b[better]])
        assert max((ends == a[pair]).sum(), (ends == b[pair]).sum()) == cap
