"""The GPU's engine on a CPU, where its tiles are PyTorch's: the same code, other products. `tests/gpu` has the real ones."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.pairs.band import Band
from miner.errors import MinerError
from miner.machine.device import worker_device
from miner.machine.executor import executor_for
from miner.pairs.arithmetic.cosine import rescore, row_lengths, unit_rows
from miner.pairs.band_join import BandJoin
from miner.pairs.engines.base import FloodError
from miner.pairs.engines.exact_cpu import ExactEngine
from miner.pairs.engines.exact_gpu import GpuEngine
from miner.pairs.engines.sketch import Projection, principal_directions
from miner.pairs.engines.tiles.base import Block
from miner.pairs.engines.tiles.pytorch import TorchTiles
from tests.pairs.vectors import listed

CPU = torch.device("cpu")


def unequal_clusters(count: int, dim: int, seed: int = 0, dtype: str = "float16") -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(count // 20, 1), dim))
    noise = rng.normal(size=(count, dim)) * rng.uniform(0.05, 1, (count, 1))
    return (centres[rng.integers(len(centres), size=count)] + noise).astype(dtype)


def engine(
    vectors: np.ndarray, threshold: float, width: int | None, dtype: torch.dtype = torch.float16, **settings
) -> GpuEngine:
    basis = None
    if width is not None:
        basis = principal_directions(torch.from_numpy(unit_rows(vectors)), width)
    return GpuEngine(
        MemoryVectors(vectors), threshold, CPU, Projection(basis, dtype), tiles=TorchTiles(64, 100), **settings
    )


def similarities(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b = np.triu_indices(len(vectors), 1)
    return a, b, rescore(MemoryVectors(vectors), a, b)


@settings(max_examples=150, deadline=None)
@given(
    count=st.integers(2, 90),
    dim=st.sampled_from([2, 17, 128]),
    width=st.sampled_from([None, 1, 8, 100]),
    sketch=st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
    dtype=st.sampled_from(["float16", "float32"]),
    scale=st.sampled_from([1.0, 1e-3]),
    seed=st.integers(0, 2**16),
    data=st.data(),
)
def test_no_pair_is_missed_and_only_pairs_are_proposed(count, dim, width, sketch, dtype, scale, seed, data) -> None:
    vectors = unequal_clusters(count, dim, seed)
    vectors = (vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True) * scale).astype(dtype)
    a, b, similarity = similarities(vectors)
    threshold = data.draw(st.sampled_from([-1.0, 0.0, 0.9, *similarity[:40].tolist()]))
    start = data.draw(st.integers(0, count - 1))
    stop = data.draw(st.integers(start + 1, count))
    min_b = data.draw(st.sampled_from([0, count // 2]))
    found = engine(vectors, threshold, None if width is None or width >= dim else width, sketch).candidates(
        start, stop, 10**6, min_b
    )
    strip = (a >= start) & (a < stop) & (b >= min_b)
    rounding = 0 if dtype == "float16" else 1e-12
    wanted, allowed = strip & (similarity >= threshold), strip & (similarity >= threshold - rounding)
    pairs = listed(found)
    assert pairs == sorted(set(pairs))
    assert set(zip(a[wanted].tolist(), b[wanted].tolist(), strict=True)) <= set(pairs)
    assert set(pairs) <= set(zip(a[allowed].tolist(), b[allowed].tolist(), strict=True))


def test_lengths_are_the_canonical_ones_to_the_last_bit() -> None:
    vectors = unequal_clusters(2000, 96)
    vectors = (vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)).astype(np.float16)
    np.testing.assert_array_equal(engine(vectors, 0.9, 8).search.lengths.numpy(), row_lengths(vectors))


def test_planned_sketch_finds_the_pairs_of_the_cpu_engine() -> None:
    vectors = unequal_clusters(3000, 96)
    planned = GpuEngine(MemoryVectors(vectors), 0.8, CPU)
    exact = ExactEngine(MemoryVectors(vectors), 0.8)
    wanted = np.stack(exact.candidates(0, 3000, 10**6))
    wanted = wanted[:, rescore(MemoryVectors(vectors), *wanted) >= 0.8]
    np.testing.assert_array_equal(np.stack(planned.candidates(0, 3000, 10**6)), wanted)
    assert wanted.shape[1] > 100
    rows = Block(planned.search.sketch.vectors)
    candidates = planned.search.tiles.above(rows, rows, planned.search.lowest_score)
    assert len(candidates) < 0.2 * 3000 * 2999 / 2


def test_vectors_that_do_not_fit_leave_more_candidates() -> None:
    vectors = unequal_clusters(300, 64)
    a, b, similarity = similarities(vectors)
    found = set(listed(engine(vectors, 0.8, 16, memory_bytes=0).candidates(0, 300, 10**6)))
    wanted = similarity >= 0.8
    assert set(zip(a[wanted].tolist(), b[wanted].tolist(), strict=True)) < found


def test_strips_with_too_many_candidates_are_halved() -> None:
    vectors = np.concatenate([unequal_clusters(80, 32), np.ones((40, 32), np.float16)])
    whole = engine(vectors, 0.7, 8).candidates(0, 120, 10**6)
    halved = engine(vectors, 0.7, 8, most_candidates=50)
    np.testing.assert_array_equal(halved.candidates(0, 120, 10**6), whole)
    assert len(whole[0]) >= 780


def test_floods_and_bad_vectors_are_refused() -> None:
    with pytest.raises(FloodError):
        engine(np.ones((30, 8), np.float16), 0.5, None).candidates(0, 30, 434)
    vectors = unequal_clusters(30, 8)
    vectors[17] = 0
    with pytest.raises(MinerError, match="row 17"):
        engine(vectors, 0.5, None)


def test_imprecise_device_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(
        TorchTiles, "above", lambda self, left, right, lowest, most=None: torch.empty((0, 2), dtype=int)
    )
    with pytest.raises(MinerError, match="less precise"):
        engine(unequal_clusters(100, 16), 0.5, None)


def make_engine(vectors: MemoryVectors, devices: str, log: Path) -> GpuEngine:
    device = worker_device(devices)
    with log.open("a") as file:
        file.write(f"{device}\n")
    return GpuEngine(vectors, 0.6, device)


@pytest.mark.parametrize("devices", ["cpu", "cpu:0,cpu:1"])
def test_join_on_several_devices(tmp_path: Path, devices: str, copied_workers) -> None:
    vectors = unequal_clusters(130, 24)
    make: Callable[[], GpuEngine] = partial(make_engine, MemoryVectors(vectors), devices, tmp_path / "log")
    join = BandJoin(make, MemoryVectors(vectors), Band(0.6, 1.0), 10**6, strip_rows=20)
    found = join.run(tmp_path / "parts", executor_for(None, devices))
    a, b, similarity = similarities(vectors)
    wanted = similarity >= 0.6
    np.testing.assert_array_equal(np.stack([found.a, found.b]), np.stack([a[wanted], b[wanted]]))
    np.testing.assert_array_equal(found.similarity, similarity[wanted])
    engines = (tmp_path / "log").read_text().split()
    assert set(engines) <= set(devices.split(",")) and len(engines) == len(set(engines))  # one per process, made once
