"""Every engine against a float64 brute force of the stored vectors, on vectors chosen to be difficult."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miner.errors import MinerError
from miner.pairs import exact, join
from miner.pairs.exact import ExactEngine
from miner.pairs.flat import FaissEngine
from miner.pairs.join import BandJoin
from miner.pairs.similarity import float32_margin, rescore, row_lengths, unit_rows

ENGINES = {
    "exact": lambda units: ExactEngine(units, torch.device("cpu")),
    "faiss": FaissEngine,
}


def brute_force(vectors: np.ndarray) -> np.ndarray:
    """Cosines in float64, each summed on its own."""
    rows = vectors.astype(np.float64)
    lengths = np.sqrt((rows * rows).sum(axis=1))
    return np.array([[(x * y).sum() / (lx * ly) for y, ly in zip(rows, lengths)] for x, lx in zip(rows, lengths)])  # noqa: B905


def joined(name: str, vectors: np.ndarray, threshold: float, folder) -> tuple[list[tuple[int, int]], np.ndarray]:
    a, b, similarity = BandJoin(ENGINES[name](unit_rows(vectors)), vectors, threshold, 10**6).run(folder)
    return list(zip(a.tolist(), b.tolist(), strict=True)), similarity


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
    elif kind == "grid":
        vectors = rng.integers(-1, 2, (count, dim)) + np.eye(count, dim) * 1e-9
        vectors[:, 0] += vectors[:, 0] == 0
    elif kind == "scales":
        vectors *= np.float_power(10, rng.integers(-2, 3, (count, 1)))
    vectors = vectors.astype(dtype)
    vectors[~vectors.any(axis=1), 0] = 1  # a vector without a direction never gets this far
    return vectors


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["random", "duplicates", "opposite", "cluster", "low rank", "grid", "scales"]),
    count=st.integers(2, 60),
    dim=st.sampled_from([2, 3, 17, 128, 640]),
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
    monkeypatch.setattr(exact, "_TILE_ROWS", tile_rows)
    monkeypatch.setattr(join, "_STRIP_ROWS", strip_rows)
    found = joined("exact", vectors, 0.3, tmp_path / "parts")
    assert found[0] == wanted[0] != []
    np.testing.assert_array_equal(found[1], wanted[1])


def test_finished_strips_are_not_searched_again(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(join, "_STRIP_ROWS", 10)
    vectors = adversarial("random", 40, 5, "float32", 0)
    whole = joined("exact", vectors, 0.2, tmp_path)
    (tmp_path / "strip-000000020.parquet").unlink()
    searched = []
    engine = ENGINES["exact"](unit_rows(vectors))
    candidates = engine.candidates
    engine.candidates = lambda start, *rest: (searched.append(start), candidates(start, *rest))[1]
    a, b, similarity = BandJoin(engine, vectors, 0.2, 10**6).run(tmp_path)
    assert searched == [20]
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == whole[0]
    np.testing.assert_array_equal(similarity, whole[1])


@pytest.mark.parametrize("name", ENGINES)
def test_flood_is_explained_and_nothing_is_cut(name, tmp_path) -> None:
    vectors = adversarial("cluster", 50, 8, "float32", 0)
    with pytest.raises(MinerError, match=r"More than 1,000 pairs.*Raise --min"):
        BandJoin(ENGINES[name](unit_rows(vectors)), vectors, 0.5, 1000).run(tmp_path)
    assert len(BandJoin(ENGINES[name](unit_rows(vectors)), vectors, 0.5, 1225).run(tmp_path)[0]) == 1225


@pytest.mark.parametrize("dim", [2, 64, 1280])
def test_margin_covers_the_float32_error_and_is_not_idle(dim) -> None:
    vectors = adversarial("cluster", 200, dim, "float32", dim)
    units = unit_rows(vectors)
    a, b = np.triu_indices(200, 1)
    true = rescore(vectors, row_lengths(vectors), a, b)
    error = np.abs((torch.from_numpy(units) @ torch.from_numpy(units).T).numpy()[a, b].astype(np.float64) - true).max()
    assert 0 < error < float32_margin(dim) < 1e-3


def test_float16_similarity_does_not_depend_on_the_order_of_summation() -> None:
    vectors = unit_rows(adversarial("random", 30, 1280, "float32", 1)).astype(np.float16)
    rows = vectors.astype(np.float64)
    forwards = (rows[:10] * rows[10:20]).sum(axis=1)
    backwards = (rows[:10, ::-1].copy() * rows[10:20, ::-1].copy()).sum(axis=1)
    one_by_one = [float(np.cumsum(x * y)[-1]) for x, y in zip(rows[:10], rows[10:20], strict=True)]
    assert forwards.tolist() == backwards.tolist() == one_by_one
