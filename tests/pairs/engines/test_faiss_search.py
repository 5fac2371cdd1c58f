"""Pairs from FAISS searches against the plain product of all rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.pairs.arithmetic.cosine import float32_margin
from miner.pairs.band_join import FloodError
from miner.pairs.engines import faiss_search as hits
from miner.pairs.engines.faiss_flat import FaissEngine, flat_index
from miner.pairs.engines.faiss_search import neighbour_hits, range_hits
from tests.pairs.test_band_join import adversarial, clustered

LOWEST = 0.6


def all_pairs(units: np.ndarray, rows: np.ndarray, lowest: float = LOWEST) -> list[tuple[int, int]]:
    """Scores far enough from the threshold for float32 to leave no doubt."""
    scores = units.astype(np.float64) @ units.astype(np.float64).T
    assert (np.abs(scores - lowest) > 1e-7).all()
    return [(int(a), int(b)) for a in rows for b in range(a + 1, len(units)) if scores[a, b] >= lowest]


def listed(pairs: tuple[np.ndarray, np.ndarray]) -> list[tuple[int, int]]:
    return list(zip(pairs[0].tolist(), pairs[1].tolist(), strict=True))


@pytest.fixture(scope="module")
def units() -> np.ndarray:
    return clustered(600, 24)


def test_neighbours_grow_until_the_band_is_left(units) -> None:
    rows = np.array([3, 40, 41, 300, 599])
    asked = []

    def search(vectors: np.ndarray, k: int):
        asked.append((k, len(vectors)))
        return index.search(vectors, k)

    index = flat_index(units)
    found, rest = neighbour_hits(search, units, rows, LOWEST, 10**6, len(units))
    assert listed(found) == all_pairs(units, rows) != []
    assert not len(rest)
    degree = (units[rows] @ units.T >= LOWEST).sum(axis=1)
    counts = [(k, int((degree >= k // 4).sum()) if k > 32 else len(rows)) for k, _ in asked]
    assert asked == counts and len(asked) > 1  # only rows that are not done are asked again


@pytest.mark.parametrize("most", [1, 8, 33, 100, 599, 600, 5000])
def test_what_the_neighbours_do_not_cover_is_handed_back(units, most) -> None:
    rows = np.arange(0, 600, 7)
    index = flat_index(units)
    found, rest = neighbour_hits(index.search, units, rows, LOWEST, 10**6, most)
    degree = (units[rows] @ units.T >= LOWEST).sum(axis=1)
    assert sorted(rest) == (rows[degree >= most].tolist() if most < 600 else [])
    assert listed(found) == all_pairs(units, np.setdiff1d(rows, rest))
    assert listed(range_hits(index.range_search, units, rest, LOWEST, 10**6)) == all_pairs(units, np.sort(rest))


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["random", "duplicates", "cluster", "opposite", "grid"]),
    count=st.integers(2, 80),
    most=st.integers(1, 90),
    threshold=st.sampled_from([-1.0, 0.0, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 2**16),
)
def test_engine_by_neighbours_proposes_what_the_range_search_does(kind, count, most, threshold, seed) -> None:
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


def test_flood_is_noticed_before_the_neighbours_grow_to_all(units, monkeypatch) -> None:
    index = flat_index(units)
    rows = np.arange(600)
    everything = len(all_pairs(units, rows))
    monkeypatch.setattr(hits, "_RANGE_ROWS", 50)
    monkeypatch.setattr(hits, "_HELD_SCORES", 1000)
    found, _ = neighbour_hits(index.search, units, rows, LOWEST, everything, 600)
    assert listed(found) == all_pairs(units, rows)
    assert len(range_hits(index.range_search, units, rows, LOWEST, everything)[0]) == everything
    most_asked = []
    with pytest.raises(FloodError):
        neighbour_hits(lambda x, k: (most_asked.append(k), index.search(x, k))[1], units, rows, LOWEST, 1000, 600)
    assert max(most_asked) == 32
    with pytest.raises(FloodError):
        range_hits(index.range_search, units, rows, LOWEST, everything - 1)
