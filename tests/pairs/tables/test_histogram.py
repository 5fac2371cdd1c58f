import numpy as np
import pytest

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.pairs.band import Band
from miner.pairs.tables.histogram import sample_histogram


def test_histogram_from_some_anchors_is_that_of_all() -> None:
    rng = np.random.default_rng(0)
    units = rng.normal(size=(3000, 8)).astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    everything, some = (sample_histogram(MemoryVectors(units), None, 0, anchors) for anchors in (3000, 300))
    assert everything.pairs_in(Band(-1, 1)) == pytest.approx(3000 * 2999 / 2, rel=1e-3)
    for low in (0.0, 0.3, 0.6):
        assert some.pairs_in(Band(low, 1)) == pytest.approx(everything.pairs_in(Band(low, 1)), rel=0.05)
