"""Every engine against a float64 brute force of the stored vectors, on vectors chosen to be difficult."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.pairs.band import Band
from miner.pairs import band_join as join
from miner.pairs.arithmetic.cosine import float32_margin, rescore, unit_rows
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.band_join import BandJoin, Engine, FloodError
from miner.pairs.engines import exact_cpu as exact
from miner.pairs.engines.cost_model import Cascade, Costs, best_cascade
from miner.pairs.engines.exact_cpu import ExactEngine
from miner.pairs.engines.faiss_flat import FaissEngine, flat_index
from miner.pairs.engines.sketch import Projection, principal_directions, sketch
from miner.pairs.tables.found import FoundPairs


def engine_with(first: tuple[int | None, torch.dtype], second: int | None = None, memory: float = float("inf")):
    """The exact engine with given passes: so many orthonormal directions each, or the whole vectors."""

    def engine(vectors: np.ndarray, threshold: float) -> ExactEngine:
        draw = torch.Generator().manual_seed(0)

        def projection(width: int | None, dtype: torch.dtype) -> Projection:
            dim = vectors.shape[1]
            drawn = torch.randn(dim, min(width or 1, dim), generator=draw)
            return Projection(None if width is None else torch.linalg.qr(drawn).Q.contiguous(), dtype)

        cascade = Cascade(projection(*first), None if second is None else projection(second, torch.float32))
        return ExactEngine(MemoryVectors(vectors), threshold, memory, cascade)

    return engine


def by_neighbours(units: np.ndarray, threshold: float, most: int) -> FaissEngine:
    return FaissEngine(units, threshold, flat_index(units), most)


ENGINES = {
    "exact": lambda vectors, threshold: ExactEngine(MemoryVectors(vectors), threshold),
    "faiss": lambda vectors, threshold: FaissEngine(unit_rows(vectors), threshold),
    "faiss by neighbours": lambda vectors, threshold: by_neighbours(unit_rows(vectors), threshold, 40),
    "sketch of 1, bfloat16": engine_with((1, torch.bfloat16)),
    "sketch of 20, bfloat16": engine_with((20, torch.bfloat16)),
    "sketch of 20, float32": engine_with((20, torch.float32)),
    "rounded to bfloat16": engine_with((None, torch.bfloat16)),
    "sketches of 2 and 12": engine_with((2, torch.bfloat16), 12),
    "sketch of 20, read again": engine_with((20, torch.bfloat16), memory=0),
}


def brute_force(vectors: np.ndarray) -> np.ndarray:
    """Cosines in float64, each summed on its own."""
    rows = vectors.astype(np.float64)
    lengths = np.sqrt((rows * rows).sum(axis=1))
    scaled = list(zip(rows, lengths, strict=True))
    return np.array([[(x * y).sum() / (lx * ly) for y, ly in scaled] for x, lx in scaled])


def band_join(engine: Engine, vectors: np.ndarray, threshold: float, limit: int = 10**6) -> BandJoin:
    return BandJoin(lambda: engine, MemoryVectors(vectors), Band(threshold, 1.0), limit)


def joined(name: str, vectors: np.ndarray, threshold: float, folder) -> tuple[list[tuple[int, int]], np.ndarray]:
    found = band_join(ENGINES[name](vectors, threshold), vectors, threshold).run(folder)
    return ends(found), found.similarity


def ends(found: FoundPairs) -> list[tuple[int, int]]:
    return list(zip(found.a.tolist(), found.b.tolist(), strict=True))


def adversarial(kind: str, count: int, dim: int, dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, dim))
    if kind == "duplicates":
        vectors = vectors[rng.integers(0, max(count // 3, 1), count)]
    elif kind == "opposite":
        vectors[count // 2 :] = -vectors[: count - count // 2]
    elif kind == "cluster":
        vectors = vectors[:1] + 1e-3 * vectors
    elif kind == "low rank":
        vectors = rng.normal(size=(count, 1)) * vectors[:1] + 0.1 * rng.normal(size=(count, 2)) @ rng.normal(
            size=(2, dim)
        )
    elif kind == "residual":
        vectors = rng.normal(size=(count, 2)) @ rng.normal(size=(2, dim)) + 1e-3 * vectors
    elif kind == "grid":
        vectors = rng.integers(-1, 2, (count, dim)) + np.eye(count, dim) * 1e-9
        vectors[:, 0] += vectors[:, 0] == 0
    elif kind == "scales":
        vectors *= np.float_power(10, rng.integers(-2, 3, (count, 1)))
    vectors = vectors.astype(dtype)
    vectors[~vectors.any(axis=1), 0] = 1  # a vector without a direction never gets this far
    return vectors


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["random", "duplicates", "opposite", "cluster", "low rank", "residual", "grid", "scales"]),
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
    found, similarity = joined(name, vectors, threshold, tmp_path_factory.mktemp("parts"))
    wanted = truth[a, b] >= threshold
    assert found == list(zip(a[wanted].tolist(), b[wanted].tolist(), strict=True))
    np.testing.assert_array_equal(similarity, truth[a, b][wanted])


@pytest.mark.parametrize("tile_rows", [1, 7, 64, 1000])
@pytest.mark.parametrize("strip_rows", [5, 64, 1000])
def test_tile_and_strip_sizes_change_nothing(monkeypatch, tmp_path, tile_rows, strip_rows) -> None:
    vectors = adversarial("random", 150, 6, "float16", 3)
    wanted = joined("faiss", vectors, 0.3, tmp_path / "reference")
    monkeypatch.setattr(exact, "TILE_ROWS", tile_rows)
    monkeypatch.setattr(join, "STRIP_ROWS", strip_rows)
    for name in ("exact", "sketch of 20, bfloat16"):
        found = joined(name, vectors, 0.3, tmp_path / name)
        assert found[0] == wanted[0] != []
        np.testing.assert_array_equal(found[1], wanted[1])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_thread_counts_change_nothing(monkeypatch, tmp_path, threads) -> None:
    monkeypatch.setattr(exact, "TILE_ROWS", 64)
    monkeypatch.setattr(exact, "_LEAST_ROWS_TO_SKETCH", 0)
    vectors = clustered(700, 40).astype(np.float16)
    wanted = joined("faiss", vectors, 0.6, tmp_path / "reference")
    engine = ExactEngine(MemoryVectors(vectors), 0.6, threads=Threads(threads))
    found = band_join(engine, vectors, 0.6).run(tmp_path / "threads")
    assert ends(found) == wanted[0] != []
    np.testing.assert_array_equal(found.similarity, wanted[1])


def test_finished_strips_are_not_searched_again(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(join, "STRIP_ROWS", 10)
    vectors = adversarial("random", 40, 5, "float32", 0)
    whole = joined("exact", vectors, 0.2, tmp_path)
    (tmp_path / "strip-000000020.parquet").unlink()
    searched = []
    engine = ENGINES["exact"](vectors, 0.2)
    candidates = engine.candidates
    engine.candidates = lambda start, *rest: (searched.append(start), candidates(start, *rest))[1]
    found = band_join(engine, vectors, 0.2).run(tmp_path)
    assert searched == [20]
    assert ends(found) == whole[0]
    np.testing.assert_array_equal(found.similarity, whole[1])


@pytest.mark.parametrize("name", ENGINES)
def test_flood_is_explained_and_nothing_is_cut(name, tmp_path) -> None:
    vectors = adversarial("cluster", 50, 8, "float32", 0)
    with pytest.raises(FloodError, match=r"More than 1,000 pairs.*Raise --min"):
        band_join(ENGINES[name](vectors, 0.5), vectors, 0.5, 1000).run(tmp_path)
    assert len(band_join(ENGINES[name](vectors, 0.5), vectors, 0.5, 1225).run(tmp_path)) == 1225


@pytest.mark.parametrize("name", ["exact", "faiss", "sketch of 20, bfloat16"])
@pytest.mark.parametrize(("strip_rows", "limit"), [(1000, 30), (1000, 600), (20, 600)])
def test_a_flood_names_the_densest_rows(monkeypatch, name, strip_rows, limit, tmp_path) -> None:
    """Whether it is noticed in the first strip, by an engine or by the join, or in a later one."""
    monkeypatch.setattr(join, "STRIP_ROWS", strip_rows)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 64)).astype(np.float32)
    crowd = np.sort(rng.permutation(200)[:40])
    vectors[crowd] = vectors[crowd[0]]
    truth = brute_force(vectors) >= 0.9
    with pytest.raises(FloodError) as flood:
        band_join(ENGINES[name](vectors, 0.9), vectors, 0.9, limit).run(tmp_path)
    assert len(flood.value.densest) == (5 if limit > 39 else 1)
    for row, partners in flood.value.densest:
        assert row in crowd
        assert partners == truth[row].sum() - 1 == 39


@pytest.mark.parametrize("dim", [2, 64, 1280])
def test_margin_covers_the_float32_error_and_is_not_idle(dim) -> None:
    vectors = adversarial("cluster", 200, dim, "float32", dim)
    units = unit_rows(vectors)
    a, b = np.triu_indices(200, 1)
    true = rescore(MemoryVectors(vectors), a, b)
    error = np.abs((torch.from_numpy(units) @ torch.from_numpy(units).T).numpy()[a, b].astype(np.float64) - true).max()
    assert 0 < error < float32_margin(dim) < 1e-3


def test_float16_similarity_does_not_depend_on_the_order_of_summation() -> None:
    vectors = unit_rows(adversarial("random", 30, 1280, "float32", 1)).astype(np.float16)
    rows = vectors.astype(np.float64)
    forwards = (rows[:10] * rows[10:20]).sum(axis=1)
    backwards = (rows[:10, ::-1].copy() * rows[10:20, ::-1].copy()).sum(axis=1)
    one_by_one = [float(np.cumsum(x * y)[-1]) for x, y in zip(rows[:10], rows[10:20], strict=True)]
    assert forwards.tolist() == backwards.tolist() == one_by_one


def clustered(count: int, dim: int, seed: int = 0) -> np.ndarray:
    """Unit rows around a few directions of falling energy, as features of images are."""
    rng = np.random.default_rng(seed)
    scale = 1 / (1 + np.arange(dim)) ** 0.7
    centres = rng.normal(size=(20, dim)) * scale
    return unit_rows(centres[rng.integers(0, 20, count)] + 0.7 * rng.normal(size=(count, dim)) * scale)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("width", [1, 8, 32, 96, None])
def test_sketch_bounds_every_cosine_and_longer_ones_bound_it_closer(width, dtype) -> None:
    units = torch.from_numpy(clustered(400, 96))
    basis = None if width is None else principal_directions(units, width)
    made = sketch(units, basis, dtype)
    everything = slice(len(units))
    assert made.holds(len(units))
    scores = made.scores(everything, everything).double()
    cosines = units.double() @ units.double().T
    for threshold in (-0.5, 0.0, 0.3, 0.8):
        assert (scores[cosines >= threshold] >= made.lowest_score(threshold)).all()
    excess = scores - cosines
    assert excess.max() < {1: 2.0, 8: 1.2, 32: 0.6}.get(width, 0.05)


def test_product_that_breaks_its_promise_is_noticed() -> None:
    made = sketch(torch.from_numpy(clustered(300, 64)), None, torch.float32)
    assert made.holds()
    broken = replace(made, product_error=made.product_error / 1e6)
    assert not broken.holds()


def test_planned_sketch_finds_the_same_pairs_and_leaves_few_candidates(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(exact, "_LEAST_ROWS_TO_SKETCH", 0)
    vectors = clustered(3000, 256).astype(np.float16)
    threshold = 0.9
    engine = ExactEngine(MemoryVectors(vectors), threshold)
    assert engine.first is not None
    found = band_join(engine, vectors, threshold).run(tmp_path / "sketched")
    wanted, _ = joined("faiss", vectors, threshold, tmp_path / "reference")
    assert ends(found) == wanted != []
    everything = slice(len(vectors))
    candidates = (engine.first.scores(everything, everything) >= engine.first.lowest_score(threshold)).sum().item()
    assert candidates < 0.05 * len(vectors) ** 2


def test_no_sketch_is_used_where_products_do_not_hold(monkeypatch) -> None:
    units = torch.from_numpy(clustered(500, 64))
    monkeypatch.setattr("miner.pairs.engines.sketch.Sketch.holds", lambda self: False)
    assert best_cascade(units, 10**4, 0.9, torch.bfloat16, Costs(1e-7, 1e-10, 1e-9), lambda sketch, lowest: 0) is None


@pytest.mark.parametrize("dead", [0.5, 0.9, 0.99])
def test_dead_and_tiny_dimensions_do_not_stop_the_plan(monkeypatch, tmp_path, dead) -> None:
    monkeypatch.setattr(exact, "_LEAST_ROWS_TO_SKETCH", 0)
    rng = np.random.default_rng(0)
    vectors = np.maximum(clustered(2500, 512) + 0.02 * rng.normal(size=(2500, 512)), 0) * (rng.random(512) > dead)
    vectors[:, 0] += 1e-30
    vectors = vectors[vectors.any(axis=1)].astype(np.float32)
    found = band_join(ExactEngine(MemoryVectors(vectors), 0.95), vectors, 0.95, 10**7).run(tmp_path / "planned")
    wanted, _ = joined("faiss", vectors, 0.95, tmp_path / "reference")
    assert ends(found) == wanted


def test_basis_that_is_not_finite_is_refused() -> None:
    units = torch.from_numpy(clustered(50, 16))
    with pytest.raises(ValueError, match="finite"):
        sketch(units, torch.full((16, 4), float("nan")), torch.bfloat16)
