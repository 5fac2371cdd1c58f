import numpy as np
import pytest

from miner.pairs.flat import nearest_neighbours
from miner.pairs.selection import capped, partner_ranks
from miner.pairs.similarity import unit_rows

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


def test_neighbours_equal_a_sort_of_all_cosines_with_ties_by_number() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.integers(-2, 3, (40, 3)).astype(np.float32)
    vectors[~vectors.any(axis=1)] = 1
    units = unit_rows(vectors)
    ids, similarities = nearest_neighbours(units, 39)
    scores = units @ units.T
    for row in range(40):
        others = [other for other in range(40) if other != row]
        np.testing.assert_allclose(similarities[row], sorted(scores[row, others], reverse=True), atol=1e-6)
        assert sorted(ids[row].tolist()) == others
        same = np.flatnonzero(np.diff(similarities[row]) == 0)
        assert (np.diff(ids[row])[same] > 0).all()
