import faiss
import numpy as np
import pytest

from miner.pairs.engines.faiss_approximate import HnswEngine, sums_one_by_one
from miner.pairs.engines.faiss_flat import FaissEngine, flat_index
from tests.pairs.vectors import clustered


def test_sums_one_by_one_depend_on_neither_threads_nor_batch(threads) -> None:
    rows = clustered(2000, 100)
    index = flat_index(rows[:300])
    results = []
    usual = faiss.cvar.distance_compute_blas_threshold
    with sums_one_by_one():
        for count, batch in ((1, 2000), (3, 2000), (7, 640), (2, 33)):
            threads(count)
            parts = [index.search(rows[start : start + batch], 5)[0] for start in range(0, 2000, batch)]
            results.append(np.concatenate(parts))
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    assert faiss.cvar.distance_compute_blas_threshold == usual


def test_faiss_sums_as_usual_after_an_error() -> None:
    usual = faiss.cvar.distance_compute_blas_threshold
    with pytest.raises(KeyError), sums_one_by_one():
        raise KeyError
    assert faiss.cvar.distance_compute_blas_threshold == usual


def test_rows_with_very_many_partners_are_searched_in_full() -> None:
    units = clustered(1200, 24)
    engine = HnswEngine(units, 0.3, 8, 20, largest_k=40)
    dense = np.flatnonzero((units @ units.T >= 0.3).sum(axis=1) > 60)
    assert len(dense) > 100
    got = engine.search(dense, 16, 10**6)
    wanted_a, wanted_b = FaissEngine(units, 0.3).candidates(0, 1200, 10**6)
    wanted = np.isin(wanted_a, dense)
    np.testing.assert_array_equal(got[0], wanted_a[wanted])
    np.testing.assert_array_equal(got[1], wanted_b[wanted])
