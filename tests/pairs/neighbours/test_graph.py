"""The neighbour graph against a float64 sort of all cosines, on vectors full of ties."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.pairs.arithmetic.cosine import rescore
from miner.pairs.neighbours.candidates import Candidates
from miner.pairs.neighbours.graph import NeighbourGraph
from miner.pairs.neighbours.search import CandidateSearch
from tests.pairs.vectors import brute_force, vectors_with_ties


def neighbours(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    return NeighbourGraph(MemoryVectors(vectors), k).nearest(0, len(vectors))


def sorted_neighbours(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """A stable sort of all cosines in float64: equal cosines stay in the order of their row numbers."""
    cosines = brute_force(vectors)
    np.fill_diagonal(cosines, -np.inf)
    ids = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return ids, np.take_along_axis(cosines, ids, axis=1)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["random", "copies", "all equal", "grid", "last bits"]),
    count=st.integers(2, 70),
    dim=st.sampled_from([2, 3, 17, 256]),
    dtype=st.sampled_from(["float16", "float32"]),
    seed=st.integers(0, 2**16),
    data=st.data(),
)
def test_neighbours_equal_a_float64_sort_with_ties_by_number(kind, count, dim, dtype, seed, data) -> None:
    vectors = vectors_with_ties(kind, count, dim, dtype, seed)
    k = data.draw(st.integers(1, count - 1))
    ids, similarities = neighbours(vectors, k)
    wanted_ids, wanted = sorted_neighbours(vectors, k)
    np.testing.assert_array_equal(ids, wanted_ids)
    np.testing.assert_array_equal(similarities, wanted)


def test_ties_that_faiss_cuts_are_compared_with_all_rows() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 16)).astype(np.float32)
    vectors[rng.permutation(300)[:200]] = vectors[0]  # far more equals than FAISS is asked for
    wanted = sorted_neighbours(vectors, 2)
    ids, similarities = neighbours(vectors, 2)
    np.testing.assert_array_equal(ids, wanted[0])
    np.testing.assert_array_equal(similarities, wanted[1])


@pytest.mark.parametrize("strip_rows", [7, 64, 1000])
def test_strip_sizes_change_no_byte(tmp_path, strip_rows) -> None:
    vectors = np.concatenate([vectors_with_ties(kind, 60, 9, "float16", 1) for kind in ("random", "copies", "grid")])
    whole = NeighbourGraph(MemoryVectors(vectors), 5).write(tmp_path / "whole", tmp_path / "parts")
    strips = NeighbourGraph(MemoryVectors(vectors), 5, strip_rows=strip_rows).write(
        tmp_path / "strips", tmp_path / "more"
    )
    assert [path.read_bytes() for path in whole] == [path.read_bytes() for path in strips]
    ids, similarities = (np.load(path) for path in strips)
    assert (ids.dtype, ids.shape, similarities.dtype, similarities.shape) == (np.int64, (180, 5), np.float32, (180, 5))
    np.testing.assert_array_equal(ids, sorted_neighbours(vectors, 5)[0])


@pytest.mark.parametrize(("gallery_block_rows", "dense_scores"), [(50, 1), (3, 3000), (20, 1), (1000, 3000)])
def test_sizes_of_the_faiss_search_change_nothing(gallery_block_rows, dense_scores) -> None:
    vectors = np.concatenate([vectors_with_ties(kind, 60, 9, "float16", 1) for kind in ("random", "copies", "grid")])
    sizes = {"gallery_block_rows": gallery_block_rows, "dense_scores": dense_scores}
    ids, similarities = NeighbourGraph(MemoryVectors(vectors), 5, **sizes).nearest(0, len(vectors))
    wanted = sorted_neighbours(vectors, 5)
    np.testing.assert_array_equal(ids, wanted[0])
    np.testing.assert_array_equal(similarities, wanted[1])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_thread_counts_change_no_byte(tmp_path, threads) -> None:
    vectors = np.concatenate([vectors_with_ties(kind, 200, 64, "float32", 2) for kind in ("random", "copies")])
    np.save(tmp_path / "vectors.npy", vectors)
    code = (
        "import sys, pathlib, numpy as np, faiss, torch\n"
        "from miner.pairs.neighbours.graph import NeighbourGraph\n"
        "folder, threads = pathlib.Path(sys.argv[1]), int(sys.argv[2])\n"
        "faiss.omp_set_num_threads(threads); torch.set_num_threads(threads)\n"
        "vectors = np.load(folder / 'vectors.npy')\n"
        "from miner.artifacts.embeddings.vectors import MemoryVectors\n"
        "NeighbourGraph(MemoryVectors(vectors), 7).write(folder, folder / 'parts')\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), str(threads)], check=True, capture_output=True)
    ids, similarities = sorted_neighbours(vectors, 7)
    np.testing.assert_array_equal(np.load(tmp_path / "knn_ids.npy"), ids)
    np.testing.assert_array_equal(np.load(tmp_path / "knn_sims.npy"), similarities.astype(np.float32))


def test_finished_strips_are_not_searched_again(monkeypatch, tmp_path) -> None:
    vectors = vectors_with_ties("random", 40, 5, "float32", 0)
    graph = NeighbourGraph(MemoryVectors(vectors), 3, strip_rows=10)
    before = [path.read_bytes() for path in graph.write(tmp_path, tmp_path / "parts")]
    (tmp_path / "parts" / "strip-000000020.npy").unlink()
    searched = []
    candidates = CandidateSearch.candidates

    def watched(search: CandidateSearch, start: int, stop: int) -> Candidates:
        searched.append(start)
        return candidates(search, start, stop)

    monkeypatch.setattr(CandidateSearch, "candidates", watched)
    assert [path.read_bytes() for path in graph.write(tmp_path, tmp_path / "parts")] == before
    assert searched == [20]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**16))
def test_similarity_is_the_same_from_both_ends(seed) -> None:
    vectors = vectors_with_ties("random", 30, 17, "float32", seed)
    ids, similarities = neighbours(vectors, 29)
    for row in range(30):
        back = rescore(MemoryVectors(vectors), ids[row], np.full(29, row))
        np.testing.assert_array_equal(similarities[row], back)
