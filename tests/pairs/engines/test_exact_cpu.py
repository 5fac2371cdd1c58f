"""The engine on the CPU with the passes that it chooses itself."""

import numpy as np
import pytest

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.pairs.arithmetic.cosine import unit_rows
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.engines.exact_cpu import ExactEngine
from miner.pairs.engines.faiss_flat import FaissEngine
from miner.pairs.tables.found import FoundPairs
from tests.pairs.vectors import band_join, clustered, listed


def faiss_pairs(vectors: np.ndarray, threshold: float, folder) -> FoundPairs:
    return band_join(FaissEngine(unit_rows(vectors), threshold), vectors, threshold).run(folder)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_thread_counts_change_nothing(tmp_path, threads) -> None:
    vectors = clustered(700, 40).astype(np.float16)
    wanted = faiss_pairs(vectors, 0.6, tmp_path / "reference")
    settings = {"threads": Threads(threads), "tile_rows": 64, "least_rows_to_sketch": 0}
    found = band_join(ExactEngine(MemoryVectors(vectors), 0.6, **settings), vectors, 0.6).run(tmp_path / "threads")
    assert listed(found) == listed(wanted) != []
    np.testing.assert_array_equal(found.similarity, wanted.similarity)


def test_planned_sketch_finds_all_pairs_and_few_candidates(tmp_path) -> None:
    vectors = clustered(3000, 256).astype(np.float16)
    threshold = 0.9
    engine = ExactEngine(MemoryVectors(vectors), threshold, least_rows_to_sketch=0)
    sketch = engine.search.sketches[0]
    found = band_join(engine, vectors, threshold).run(tmp_path / "sketched")
    assert listed(found) == listed(faiss_pairs(vectors, threshold, tmp_path / "reference")) != []
    everything = slice(len(vectors))
    candidates = (sketch.scores(everything, everything) >= sketch.lowest_score(threshold)).sum().item()
    assert candidates < 0.05 * len(vectors) ** 2


@pytest.mark.parametrize("dead", [0.5, 0.9, 0.99])
def test_dead_and_tiny_dimensions_do_not_stop_the_plan(tmp_path, dead) -> None:
    rng = np.random.default_rng(0)
    vectors = np.maximum(clustered(2500, 512) + 0.02 * rng.normal(size=(2500, 512)), 0) * (rng.random(512) > dead)
    vectors[:, 0] += 1e-30
    vectors = vectors[vectors.any(axis=1)].astype(np.float32)
    engine = ExactEngine(MemoryVectors(vectors), 0.95, least_rows_to_sketch=0)
    found = band_join(engine, vectors, 0.95, 10**7).run(tmp_path / "planned")
    assert listed(found) == listed(faiss_pairs(vectors, 0.95, tmp_path / "reference"))
