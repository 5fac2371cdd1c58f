"""The engine on the CPU with the passes that it chooses itself."""

import numpy as np
import pytest

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.pairs.arithmetic.cosine import unit_rows
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.engines.base import FloodError
from miner.pairs.engines.exact_cpu import ExactEngine
from miner.pairs.engines.faiss_flat import FaissEngine
from miner.pairs.engines.tile_search import positions_in
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


def test_strips_in_any_order_give_the_same_candidates() -> None:
    """The threads go on with the strip that is expected next; another one, and one after a flood, is searched all the same."""
    vectors = MemoryVectors(clustered(600, 32).astype(np.float16))

    def engine() -> ExactEngine:
        return ExactEngine(vectors, 0.7, tile_rows=50, least_rows_to_sketch=0)

    strips = [(0, 200), (200, 400), (400, 600)]
    alone = {strip: engine().candidates(*strip, 10**6) for strip in strips}
    assert all(len(a) for a, _ in alone.values())
    served = engine()
    for strip in [*strips, (200, 400), (0, 200), (200, 400), (400, 600)]:
        np.testing.assert_array_equal(served.candidates(*strip, 10**6), alone[strip])
        if strip == (0, 200):
            with pytest.raises(FloodError):
                served.candidates(200, 400, 3)
    few = served.candidates(0, 200, 10**6, min_b=450)
    np.testing.assert_array_equal(few, np.array(alone[0, 200])[:, alone[0, 200][1] >= 450])


@pytest.mark.parametrize("share", [0.0, 1e-4, 0.02, 1.0])
@pytest.mark.parametrize("shape", [(64, 128), (33, 17)])
def test_positions_are_those_of_the_true_entries(share, shape) -> None:
    mask = np.random.default_rng(0).random(shape) < share
    np.testing.assert_array_equal(positions_in(mask), np.nonzero(mask))


@pytest.mark.parametrize("dead", [0.5, 0.9, 0.99])
def test_dead_and_tiny_dimensions_do_not_stop_the_plan(tmp_path, dead) -> None:
    rng = np.random.default_rng(0)
    vectors = np.maximum(clustered(2500, 512) + 0.02 * rng.normal(size=(2500, 512)), 0) * (rng.random(512) > dead)
    vectors[:, 0] += 1e-30
    vectors = vectors[vectors.any(axis=1)].astype(np.float32)
    engine = ExactEngine(MemoryVectors(vectors), 0.95, least_rows_to_sketch=0)
    found = band_join(engine, vectors, 0.95, 10**7).run(tmp_path / "planned")
    assert listed(found) == listed(faiss_pairs(vectors, 0.95, tmp_path / "reference"))
