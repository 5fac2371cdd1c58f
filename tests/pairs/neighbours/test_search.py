"""The exact search for neighbours against a float64 sort of all cosines: ties, any passes, tiles and strips, near-duplicates."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.artifacts.embeddings.vectors import FileVectors, MemoryVectors, VectorFile
from miner.pairs.arithmetic.cosine import unit_rows
from miner.pairs.arithmetic.sampled_products import products_at
from miner.pairs.engines.byte_sketch import byte_projection
from miner.pairs.engines.cost_model import Cascade
from miner.pairs.engines.sketch import Projection, principal_directions
from miner.pairs.neighbours.candidates import ListRule
from miner.pairs.neighbours.floors import row_floors
from miner.pairs.neighbours.lists import _SEARCHES, ListSearch
from miner.pairs.neighbours.search import CandidateSearch
from miner.pairs.neighbours.search_gpu import GpuCandidateSearch
from tests.pairs.neighbours.lists import THREADS, lists_of, wanted_lists
from tests.pairs.vectors import brute_force, clustered, vectors_with_ties

KINDS = st.sampled_from(["random", "copies", "all equal", "grid", "last bits"])


def passes(vectors: np.ndarray, dims: int | None, dtype: torch.dtype, second: bool) -> Cascade | None:
    """Sketches along so many directions, or of the rows themselves (0), or none."""
    if dims is None:
        return None
    basis = principal_directions(torch.from_numpy(unit_rows(vectors)), dims) if 0 < dims < vectors.shape[1] else None
    if dtype == torch.uint8 and basis is not None:
        first: Projection = byte_projection(torch.from_numpy(unit_rows(vectors)), basis)
    else:
        first = Projection(basis, torch.float32 if dtype == torch.uint8 else dtype)
    return Cascade(first, Projection(basis, torch.float32) if second else None)


@settings(max_examples=150, deadline=None)
@given(
    kind=KINDS,
    count=st.integers(2, 90),
    dim=st.sampled_from([2, 3, 17, 256]),
    stored=st.sampled_from(["float16", "float32"]),
    seed=st.integers(0, 2**16),
    tile_rows=st.sampled_from([5, 16, 200]),
    strip_rows=st.sampled_from([7, 40, 100]),
    dims=st.sampled_from([None, 0, 1, 2]),
    dtype=st.sampled_from([torch.bfloat16, torch.float32, torch.uint8]),
    second=st.booleans(),
    data=st.data(),
)
def test_lists_equal_a_float64_sort(
    kind, count, dim, stored, seed, tile_rows, strip_rows, dims, dtype, second, data
) -> None:
    vectors = vectors_with_ties(kind, count, dim, stored, seed)
    rule = ListRule(MemoryVectors(vectors), data.draw(st.integers(1, count - 1)))
    search = CandidateSearch(rule, cascade=passes(vectors, dims, dtype, second), threads=THREADS, tile_rows=tile_rows)
    for mine, theirs in zip(lists_of(search, strip_rows), wanted_lists(rule), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@settings(max_examples=100, deadline=None)
@given(kind=KINDS, count=st.integers(2, 70), seed=st.integers(0, 2**16), data=st.data())
def test_near_duplicates_and_copies_are_left_out_first(kind, count, seed, data) -> None:
    vectors = vectors_with_ties(kind, count, 17, "float32", seed)
    cosines = brute_force(vectors)
    high = data.draw(
        st.one_of(st.sampled_from(sorted(set(cosines.ravel()))), st.floats(-1, 1))
    )  # also exactly on a cosine
    copies = np.random.default_rng(seed).integers(0, count, count) if data.draw(st.booleans()) else None
    rule = ListRule(MemoryVectors(vectors), data.draw(st.integers(1, count - 1)), high, copies)
    for mine, theirs in zip(lists_of(CandidateSearch(rule, tile_rows=16), 30), wanted_lists(rule), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@settings(max_examples=30, deadline=None)
@given(
    kind=KINDS,
    count=st.integers(3, 70),
    seed=st.integers(0, 2**16),
    tile_rows=st.sampled_from([5, 200]),
    strip_rows=st.sampled_from([30, 100]),
    dims=st.sampled_from([None, 0, 2]),
    on_gpu=st.booleans(),
    data=st.data(),
)
def test_known_lists_change_where_a_new_row_enters(
    kind, count, seed, tile_rows, strip_rows, dims, on_gpu, data
) -> None:
    vectors = vectors_with_ties(kind, count, 17, "float32", seed)
    high = data.draw(st.one_of(st.sampled_from(sorted(set(brute_force(vectors).ravel()))), st.floats(-1, 1)))
    copies = np.random.default_rng(seed).integers(0, count, count) if data.draw(st.booleans()) else None
    k, old = data.draw(st.integers(1, count - 1)), data.draw(st.integers(2, count - 1))
    among_old = ListRule(MemoryVectors(vectors[:old]), min(k, old - 1), high, None if copies is None else copies[:old])
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/known.npy", wanted_lists(among_old)[0])
        rule = ListRule(MemoryVectors(vectors), k, high, copies, Path(folder, "known.npy"))
        search = ListSearch(rule, strip_rows=strip_rows)
        _SEARCHES[search.name] = (
            GpuCandidateSearch(rule, torch.device("cpu"), THREADS)
            if on_gpu
            else CandidateSearch(
                rule, cascade=passes(vectors, dims, torch.float32, False), threads=THREADS, tile_rows=tile_rows
            )
        )
        for mine, theirs in zip(search.lists(Path(folder)), wanted_lists(rule), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_rows_that_do_not_fit_give_the_same_lists(tmp_path) -> None:
    vectors = clustered(3000, 64).astype(np.float16)
    np.save(tmp_path / "vectors.npy", vectors)
    file = VectorFile(tmp_path / "vectors.npy", len(vectors), np.load(tmp_path / "vectors.npy", mmap_mode="r").offset)
    stored = FileVectors((file,), 64, np.dtype(np.float16))
    rule, short = ListRule(MemoryVectors(vectors), 7), ListRule(stored, 7)
    whole = lists_of(CandidateSearch(rule, tile_rows=256, least_rows_to_sketch=0), 1000)
    parts = lists_of(CandidateSearch(short, tile_rows=256, least_rows_to_sketch=0, memory_bytes=0), 1000)
    for mine, theirs in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_floors_are_reached_and_close() -> None:
    vectors = clustered(5000, 64).astype(np.float16)
    rule = ListRule(MemoryVectors(vectors), 5)
    units = torch.from_numpy(unit_rows(vectors))
    floors, _ = row_floors(
        rule,
        lambda rows: units[rows],
        partial(products_at, units, units),
        principal_directions(units, 63),
        torch.float32,
        THREADS,
    )
    cosines = (units.double() @ units.double().T).numpy()
    np.fill_diagonal(cosines, -np.inf)
    fifth = np.sort(cosines, axis=1)[:, -5]
    assert (floors <= fifth).all()
    assert np.median(fifth - floors) < 0.02


def test_candidates_are_few() -> None:
    vectors = clustered(5000, 64).astype(np.float16)
    search = CandidateSearch(ListRule(MemoryVectors(vectors), 5), threads=THREADS, least_rows_to_sketch=0)
    assert len(search.candidates(0, 5000)) < 20 * 5000
