import faiss
import numpy as np
import pytest

from miner.pairs.engines.faiss_flat import flat_index
from miner.pairs.engines.faiss_ivf import sums_one_by_one
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
