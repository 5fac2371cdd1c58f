"""The GPU's search for neighbours on a CPU, where its tiles are PyTorch's. `tests/gpu` has the real ones."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.machine.device import worker_device
from miner.machine.executor import executor_for
from miner.pairs.arithmetic.cosine import unit_rows
from miner.pairs.engines.sketch import Projection, principal_directions
from miner.pairs.engines.tiles.pytorch import TorchTiles
from miner.pairs.neighbours.candidates import ListRule
from miner.pairs.neighbours.lists import ListSearch
from miner.pairs.neighbours.search import CandidateSearch
from miner.pairs.neighbours.search_gpu import GpuCandidateSearch
from tests.pairs.neighbours.lists import THREADS, lists_of, wanted_lists
from tests.pairs.vectors import clustered, vectors_with_ties

CPU = torch.device("cpu")


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["random", "copies", "all equal", "grid", "last bits"]),
    count=st.integers(2, 90),
    dim=st.sampled_from([2, 17, 256]),
    stored=st.sampled_from(["float16", "float32"]),
    seed=st.integers(0, 2**16),
    width=st.sampled_from([None, 1, 2]),
    held=st.booleans(),
    most=st.sampled_from([30, 10**6]),
    data=st.data(),
)
def test_lists_equal_a_float64_sort(kind, count, dim, stored, seed, width, held, most, data) -> None:
    vectors = vectors_with_ties(kind, count, dim, stored, seed)
    high = data.draw(st.sampled_from([float("inf"), 0.9, 0.3]))
    rule = ListRule(MemoryVectors(vectors), data.draw(st.integers(1, count - 1)), high)
    basis = None if width is None else principal_directions(torch.from_numpy(unit_rows(vectors)), min(width, dim - 1))
    search = GpuCandidateSearch(
        *(rule, CPU, THREADS, Projection(basis, torch.float16)),
        tiles=TorchTiles(16, 50),
        memory_bytes=None if held else 0,
        most_candidates=most,
    )
    for mine, theirs in zip(lists_of(search, 40), wanted_lists(rule), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("stored", ["float16", "float32"])
def test_planned_search_gives_the_lists_of_the_cpu(stored) -> None:
    rule = ListRule(MemoryVectors(clustered(1500, 64).astype(stored)), 7, high=0.95)
    search = GpuCandidateSearch(rule, CPU, THREADS)
    wanted = lists_of(CandidateSearch(rule, threads=THREADS), 1500)
    for mine, theirs in zip(lists_of(search, 1500), wanted, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert len(search.candidates(0, 1500)) < 30 * 1500


def logged_search(rule: ListRule, devices: str, log: Path) -> GpuCandidateSearch:
    device = worker_device(devices)
    with log.open("a") as file:
        file.write(f"{device}\n")
    return GpuCandidateSearch(rule, device, THREADS)


def test_lists_on_several_devices(tmp_path: Path, copied_workers) -> None:
    rule, devices = ListRule(MemoryVectors(clustered(130, 24).astype(np.float16)), 5, high=0.95), "cpu:0,cpu:1"
    source = partial(logged_search, rule, devices, tmp_path / "log")
    search = ListSearch(rule, strip_rows=20, source=source)
    for mine, theirs in zip(search.lists(tmp_path, executor_for(None, devices)), wanted_lists(rule), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    used = (tmp_path / "log").read_text().split()
    assert set(used) <= set(devices.split(",")) and len(used) == len(set(used))  # one per process, made once
