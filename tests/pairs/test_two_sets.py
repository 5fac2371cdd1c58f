"""The join of two sets against a float64 brute force, on vectors chosen to be difficult."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import miner
from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.pairs.band import Band
from miner.errors import MinerError, UsageError
from miner.pairs.arithmetic.cosine import unit_rows
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.band_join import BandJoin
from miner.pairs.engines.base import Engine, FloodError
from miner.pairs.engines.exact_cpu import ExactEngine
from miner.pairs.engines.exact_gpu import GpuEngine
from miner.pairs.engines.faiss_flat import FaissEngine
from miner.pairs.engines.sketch import Projection
from miner.pairs.engines.tiles.pytorch import TorchTiles
from miner.pairs.neighbours.candidates import ListRule
from miner.pairs.neighbours.search import CandidateSearch
from miner.pairs.neighbours.search_gpu import GpuCandidateSearch
from miner.pairs.tables.found import FoundPairs
from tests.pairs.neighbours.lists import THREADS, lists_of, wanted_lists
from tests.pairs.vectors import KINDS, adversarial, brute_force, clustered, listed, vectors_with_ties


@dataclass
class TwoSets:
    """Two sets of vectors, and the join between them."""

    a: np.ndarray
    b: np.ndarray

    @property
    def together(self) -> MemoryVectors:
        return MemoryVectors(self.a, self.b)

    @property
    def truth(self) -> np.ndarray:
        """Cosines in float64: a row of A for each row, a row of B for each column."""
        return brute_force(np.concatenate([self.a, self.b]))[: len(self.a), len(self.a) :]

    def join(self, engine: Engine, low: float, limit: int = 10**6, strip_rows: int = 8192) -> BandJoin:
        rows = len(self.a)
        return BandJoin(lambda: engine, self.together, Band(low, 1.0), limit, rows, strip_rows, end_a=rows)

    def found(self, engine: Engine, low: float, strip_rows: int = 8192) -> FoundPairs:
        found = self.join(engine, low, strip_rows=strip_rows).run_in_memory()
        return FoundPairs(found.a, found.b - len(self.a), found.similarity)


ENGINES = {
    "exact": lambda sets, low, tile_rows, threads, memory: ExactEngine(
        sets.together, low, memory, None, Threads(threads), tile_rows, least_rows_to_sketch=0
    ),
    "float32": lambda sets, low, tile_rows, threads, memory: ExactEngine(
        sets.together, low, memory, None, Threads(threads), tile_rows
    ),
    "faiss": lambda sets, low, *_: FaissEngine(unit_rows(sets.together.read(0, len(sets.together))), low),
    "gpu": lambda sets, low, tile_rows, *_: GpuEngine(
        sets.together, low, torch.device("cpu"), Projection(None, torch.float32), tiles=TorchTiles(tile_rows + 15, 20)
    ),
}


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    rows=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    dim=st.sampled_from([2, 17, 128]),
    dtype=st.sampled_from(["float16", "float32"]),
    seed=st.integers(0, 2**16),
    sizes=st.tuples(st.sampled_from([1, 7, 1000]), st.sampled_from([1, 5, 1000]), st.sampled_from([1, 3])),
    memory=st.sampled_from([0, float("inf")]),
    data=st.data(),
)
def test_pairs_between_two_sets_equal_brute_force(name, kind, rows, dim, dtype, seed, sizes, memory, data) -> None:
    vectors = adversarial(kind, sum(rows), dim, dtype, seed)
    sets = TwoSets(vectors[: rows[0]], vectors[rows[0] :])
    truth = sets.truth
    # Thresholds that lie exactly on a similarity are the hard ones.
    low = data.draw(st.sampled_from([-1.0, 0.0, 0.5, 0.9, *truth.ravel()[:20].tolist()]))
    tile_rows, strip_rows, threads = sizes
    found = sets.found(ENGINES[name](sets, low, tile_rows, threads, memory), low, strip_rows)
    assert listed(found) == listed(np.nonzero(truth >= low))
    np.testing.assert_array_equal(found.similarity, truth[truth >= low])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_against_a_without_diagonal_is_the_self_join(dtype) -> None:
    vectors = clustered(500, 32).astype(dtype)
    a, b, cosine = miner.band_join(vectors, 0.7, 1.0)
    x, y, both = miner.band_join(vectors, 0.7, 1.0, against=vectors)
    np.testing.assert_array_equal(both[x == y], np.ones(500))
    assert len(a) > 100 and len(x) == 2 * len(a) + 500
    for side, other in ((x, y), (y, x)):
        half = np.flatnonzero(side < other)
        order = half[np.lexsort((other[half], side[half]))]
        np.testing.assert_array_equal(side[order], a)
        np.testing.assert_array_equal(other[order], b)
        np.testing.assert_array_equal(both[order], cosine)


def test_sets_of_two_types_are_searched_in_float32() -> None:
    vectors = clustered(200, 16)
    ours, theirs = vectors[:50].astype(np.float16), vectors[50:].astype(np.float64)
    mixed = miner.band_join(ours, 0.7, 0.9, against=theirs)
    assert len(mixed[0]) > 50
    for one, other in zip(mixed, miner.band_join(ours.astype(np.float32), 0.7, 0.9, against=theirs), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(UsageError, match="8 dimensions, and vectors have 16"):
        miner.band_join(vectors, against=vectors[:, :8])


def test_flood_between_two_sets_counts_partners_in_the_other(tmp_path) -> None:
    a, b = clustered(60, 64, 1), clustered(40, 64, 2)
    a[:20], b[30:] = a[0], a[0]
    sets = TwoSets(a, b)
    engine = ExactEngine(sets.together, 0.99, tile_rows=16)
    with pytest.raises(FloodError) as flood:
        sets.join(engine, 0.99, limit=150, strip_rows=16).run(tmp_path)
    copies = {*range(20), *range(90, 100)}
    assert flood.value.densest and {row for row, _ in flood.value.densest} <= copies
    assert all(partners == (10 if row < 60 else 20) for row, partners in flood.value.densest)
    with pytest.raises(MinerError, match="More than 150 pairs"):
        miner.band_join(a, 0.99, 1.0, against=b, max_pairs=150)


def test_small_set_against_a_large_one_is_planned_for_its_pairs() -> None:
    """A few rows against many are not worth a sketch of all rows; the self-join of as many rows is."""
    vectors = MemoryVectors(clustered(3000, 64))
    sketched = [
        bool(ExactEngine(vectors, 0.9, least_rows_to_sketch=1000, pairs=pairs).search.sketches)
        for pairs in (10 * 2990, None)
    ]
    assert sketched == [False, True]


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["random", "copies", "all equal", "grid", "last bits"]),
    rows=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    dim=st.sampled_from([2, 17, 128]),
    dtype=st.sampled_from(["float16", "float32"]),
    seed=st.integers(0, 2**16),
    sizes=st.tuples(st.sampled_from([5, 200]), st.sampled_from([7, 100])),
    memory=st.sampled_from([0, float("inf")]),
    second=st.booleans(),
    gpu=st.booleans(),
    data=st.data(),
)
def test_lists_of_another_set_equal_a_float64_sort(
    kind, rows, dim, dtype, seed, sizes, memory, second, gpu, data
) -> None:
    vectors = MemoryVectors(vectors_with_ties(kind, sum(rows), dim, dtype, seed))
    high = data.draw(st.sampled_from([float("inf"), 0.9, 0.3]))
    asking = range(rows[0], sum(rows)) if second else range(rows[0])
    k = data.draw(st.integers(1, rows[0] if second else rows[1]))
    rule = ListRule(vectors, k, high, asking=asking)
    if gpu:
        projection = Projection(None, torch.float32)
        search = GpuCandidateSearch(rule, torch.device("cpu"), THREADS, projection, tiles=TorchTiles(16, 50))
    else:
        search = CandidateSearch(rule, memory, None, THREADS, sizes[0], data.draw(st.sampled_from([0, 8192])))
    for mine, theirs in zip(lists_of(search, sizes[1]), wanted_lists(rule), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_candidates_of_another_set_are_few() -> None:
    rule = ListRule(MemoryVectors(clustered(6000, 64).astype(np.float16)), 5, asking=range(1000))
    search = CandidateSearch(rule, threads=THREADS, least_rows_to_sketch=0)
    found = search.candidates(0, 1000)
    assert set(found["row"].tolist()) == set(range(1000)) and found["other"].min() >= 1000
    assert len(found) < 20 * 1000
