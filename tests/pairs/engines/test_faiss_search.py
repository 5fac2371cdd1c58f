"""Pairs from FAISS searches against the plain product of all rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.pairs.arithmetic.cosine import float32_margin
from miner.pairs.engines.base import FloodError
from miner.pairs.engines.faiss_flat import FaissEngine, flat_index
from miner.pairs.engines.faiss_search import knn_pairs, range_search_pairs
from tests.pairs.vectors import adversarial, clustered, listed

LOWEST = 0.6


def all_pairs(units: np.ndarray, rows: np.ndarray, lowest: float = LOWEST) -> list[tuple[int, int]]:
    """Scores far enough from the threshold for float32 to leave no doubt."""
    scores = units.astype(np.float64) @ units.astype(np.float64).T
    assert (np.abs(scores - lowest) > 1e-7).all()
    return [(int(a), int(b)) for a in rows for b in range(a + 1, len(units)) if scores[a, b] >= lowest]


@pytest.fixture(scope="module")
def units() -> np.ndarray:
    return clustered(600, 24)


def test_k_grows_until_a_neighbour_is_below_the_score(units) -> None:
    rows = np.array([3, 40, 41, 300, 599])
    asked = []

    def search(vectors: np.ndarray, k: int):
        asked.append((k, len(vectors)))
        return index.search(vectors, k)

    index = flat_index(units)
    found, rest = knn_pairs(search, units, rows, LOWEST, 10**6, len(units))
    assert listed(found) == all_pairs(units, rows) != []
    assert not len(rest)
    degree = (units[rows] @ units.T >= LOWEST).sum(axis=1)
    counts = [(k, int((degree >= k // 4).sum()) if k > 32 else len(rows)) for k, _ in asked]
    assert asked == counts and len(asked) > 1  # only rows that are not done are asked again


@pytest.mark.parametrize("most", [1, 8, 33, 100, 599, 600, 5000])
def test_rows_with_too_many_neighbours_are_handed_back(units, most) -> None:
    rows = np.arange(0, 600, 7)
    index = flat_index(units)
    found, rest = knn_pairs(index.search, units, rows, LOWEST, 10**6, most)
    degree = (units[rows] @ units.T >= LOWEST).sum(axis=1)
    assert sorted(rest) == (rows[degree >= most].tolist() if most < 600 else [])
    assert listed(found) == all_pairs(units, np.setdiff1d(rows, rest))
    assert listed(range_search_pairs(index.range_search, units, rest, LOWEST, 10**6)) == all_pairs(units, np.sort(rest))


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["random", "duplicates", "cluster", "opposite", "grid"]),
    count=st.integers(2, 80),
    most=st.integers(1, 90),
    threshold=st.sampled_from([-1.0, 0.0, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 2**16),
)
def test_engine_by_neighbours_proposes_what_a_range_search_does(kind, count, most, threshold, seed) -> None:
    vectors = adversarial(kind, count, 6, "float32", seed).astype(np.float64)
    units = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    by_neighbours = FaissEngine(units, threshold, flat_index(units), most).candidates(1, count, 10**6)
    by_range = FaissEngine(units, threshold).candidates(1, count, 10**6)
    # The two searches round differently, so they may differ where a score is that close to the margin.
    doubtful = {
        pair
        for pair in set(listed(by_neighbours)) ^ set(listed(by_range))
        if abs(float(units[pair[0]] @ units[pair[1]]) - threshold + float32_margin(6)) < 1e-6
    }
    assert set(listed(by_neighbours)) ^ set(listed(by_range)) == doubtful
    assert listed(by_neighbours) == sorted(set(listed(by_neighbours)))


def test_flood_is_noticed_before_k_grows_to_all_rows(units) -> None:
    index = flat_index(units)
    rows = np.arange(600)
    everything = len(all_pairs(units, rows))
    found, _ = knn_pairs(index.search, units, rows, LOWEST, everything, 600, batch_scores=1000)
    assert listed(found) == all_pairs(units, rows)
    assert len(range_search_pairs(index.range_search, units, rows, LOWEST, everything, batch_rows=50)[0]) == everything
    most_asked = []

    def search(vectors: np.ndarray, k: int):
        most_asked.append(k)
        return index.search(vectors, k)

    with pytest.raises(FloodError):
        knn_pairs(search, units, rows, LOWEST, 1000, 600, batch_scores=1000)
    assert max(most_asked) == 32
    with pytest.raises(FloodError):
        range_search_pairs(index.range_search, units, rows, LOWEST, everything - 1, batch_rows=50)
