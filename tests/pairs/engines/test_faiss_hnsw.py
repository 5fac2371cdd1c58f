import numpy as np

from miner.pairs.engines.faiss_flat import FaissEngine
from miner.pairs.engines.faiss_hnsw import HnswEngine
from tests.pairs.vectors import clustered


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
