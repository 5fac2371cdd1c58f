"""Every engine against a float64 brute force of the stored vectors, on vectors chosen to be difficult."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.pairs.arithmetic.cosine import unit_rows
from miner.pairs.engines.base import FloodError
from miner.pairs.engines.byte_sketch import byte_projection
from miner.pairs.engines.cost_model import Cascade
from miner.pairs.engines.exact_cpu import ExactEngine
from miner.pairs.engines.faiss_flat import FaissEngine, flat_index
from miner.pairs.engines.sketch import Projection
from tests.pairs.vectors import KINDS, adversarial, band_join, brute_force, listed


def engine_with(first: tuple[int | None, torch.dtype], second: int | None = None, memory: float = float("inf")):
    """The exact engine with given passes: so many orthonormal directions each, or the whole vectors."""

    def engine(vectors: np.ndarray, threshold: float, **settings) -> ExactEngine:
        generator = torch.Generator().manual_seed(0)

        def projection(width: int | None, dtype: torch.dtype) -> Projection:
            dim = vectors.shape[1]
            drawn = torch.randn(dim, min(width or 1, dim), generator=generator)
            if dtype == torch.uint8:
                return byte_projection(torch.from_numpy(unit_rows(vectors)), torch.linalg.qr(drawn).Q)
            return Projection(None if width is None else torch.linalg.qr(drawn).Q.contiguous(), dtype)

        cascade = Cascade(projection(*first), None if second is None else projection(second, torch.float32))
        return ExactEngine(MemoryVectors(vectors), threshold, memory, cascade, **settings)

    return engine


def by_neighbours(vectors: np.ndarray, threshold: float) -> FaissEngine:
    units = unit_rows(vectors)
    return FaissEngine(units, threshold, flat_index(units), 40)


ENGINES = {
    "exact": lambda vectors, threshold, **settings: ExactEngine(MemoryVectors(vectors), threshold, **settings),
    "faiss": lambda vectors, threshold: FaissEngine(unit_rows(vectors), threshold),
    "faiss by neighbours": by_neighbours,
    "sketch of 1, bfloat16": engine_with((1, torch.bfloat16)),
    "sketch of 20, bfloat16": engine_with((20, torch.bfloat16)),
    "sketch of 20, float32": engine_with((20, torch.float32)),
    "sketch of 20, bytes": engine_with((20, torch.uint8)),
    "rounded to bfloat16": engine_with((None, torch.bfloat16)),
    "sketches of 2 and 12": engine_with((2, torch.bfloat16), 12),
    "sketch of 20, read again": engine_with((20, torch.bfloat16), memory=0),
}


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(KINDS),
    count=st.integers(2, 60),
    dim=st.sampled_from([2, 3, 17, 128, 640, 2048]),
    dtype=st.sampled_from(["float16", "float32"]),
    seed=st.integers(0, 2**16),
    data=st.data(),
)
def test_pairs_and_similarities_equal_brute_force(name, kind, count, dim, dtype, seed, data, tmp_path_factory) -> None:
    vectors = adversarial(kind, count, dim, dtype, seed)
    truth = brute_force(vectors)
    a, b = np.triu_indices(count, 1)
    # Thresholds that lie exactly on a similarity are the hard ones.
    threshold = data.draw(st.sampled_from([-1.0, 0.0, 0.5, 0.9, *truth[a, b][:20].tolist()]))
    found = band_join(ENGINES[name](vectors, threshold), vectors, threshold).run(tmp_path_factory.mktemp("parts"))
    wanted = truth[a, b] >= threshold
    assert listed(found) == listed((a[wanted], b[wanted]))
    np.testing.assert_array_equal(found.similarity, truth[a, b][wanted])


@pytest.mark.parametrize("tile_rows", [1, 7, 64, 1000])
@pytest.mark.parametrize("strip_rows", [5, 64, 1000])
def test_tile_and_strip_sizes_change_nothing(tmp_path, tile_rows, strip_rows) -> None:
    vectors = adversarial("random", 150, 6, "float16", 3)
    wanted = band_join(ENGINES["faiss"](vectors, 0.3), vectors, 0.3).run(tmp_path / "reference")
    for name in ("exact", "sketch of 20, bfloat16"):
        engine = ENGINES[name](vectors, 0.3, tile_rows=tile_rows)
        found = band_join(engine, vectors, 0.3, strip_rows=strip_rows).run(tmp_path / name)
        assert listed(found) == listed(wanted) != []
        np.testing.assert_array_equal(found.similarity, wanted.similarity)


def test_finished_strips_are_not_searched_again(tmp_path) -> None:
    vectors = adversarial("random", 40, 5, "float32", 0)
    engine = ENGINES["exact"](vectors, 0.2)
    whole = band_join(engine, vectors, 0.2, strip_rows=10).run(tmp_path)
    (tmp_path / "strip-000000020.parquet").unlink()
    searched = []
    candidates = engine.candidates
    engine.candidates = lambda start, *rest: (searched.append(start), candidates(start, *rest))[1]
    found = band_join(engine, vectors, 0.2, strip_rows=10).run(tmp_path)
    assert searched == [20]
    assert listed(found) == listed(whole)
    np.testing.assert_array_equal(found.similarity, whole.similarity)


@pytest.mark.parametrize("name", ENGINES)
def test_flood_is_explained_and_nothing_is_cut(name, tmp_path) -> None:
    vectors = adversarial("cluster", 50, 8, "float32", 0)
    with pytest.raises(FloodError, match=r"More than 1,000 pairs.*Raise --min"):
        band_join(ENGINES[name](vectors, 0.5), vectors, 0.5, 1000).run(tmp_path)
    assert len(band_join(ENGINES[name](vectors, 0.5), vectors, 0.5, 1225).run(tmp_path)) == 1225


@pytest.mark.parametrize("name", ["exact", "faiss", "sketch of 20, bfloat16"])
@pytest.mark.parametrize(("strip_rows", "limit"), [(1000, 30), (1000, 600), (20, 600)])
def test_flood_names_the_densest_rows(name, strip_rows, limit, tmp_path) -> None:
    """An engine or the join notices the flood, in the first strip or in a later one."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 64)).astype(np.float32)
    copies = np.sort(rng.permutation(200)[:40])
    vectors[copies] = vectors[copies[0]]
    truth = brute_force(vectors) >= 0.9
    with pytest.raises(FloodError) as flood:
        band_join(ENGINES[name](vectors, 0.9), vectors, 0.9, limit, strip_rows=strip_rows).run(tmp_path)
    assert len(flood.value.densest) == (5 if limit > 39 else 1)
    for row, partners in flood.value.densest:
        assert row in copies
        assert partners == truth[row].sum() - 1 == 39
