"""Approximate neighbour lists: what an index finds is ranked exactly, what it misses is measured, and restarts change nothing."""

import pickle

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.pairs.arithmetic.cosine import unit_rows
from miner.pairs.engines.faiss_approximate import HnswEngine, IvfEngine
from miner.pairs.engines.recall import anchor_rows
from miner.pairs.neighbours.approximate import ApproximateLists, IndexCandidates, are_listed, exact_lists
from miner.pairs.neighbours.candidates import ListRule
from miner.pairs.neighbours.lists import ListSearch
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.pairs.mined import contents, tables
from tests.pairs.neighbours.lists import lists_of, wanted_lists
from tests.pairs.vectors import clustered, vectors_with_ties

WEAK = {
    "ivf": {"engine": "ivf", "nlist": 30, "nprobe": 1},
    "hnsw": {"engine": "hnsw", "links": 2, "ef_construction": 1, "ef_search": 1},
}


def with_copies(count: int) -> np.ndarray:
    """Rows of which some are near-duplicates of others, in float16."""
    vectors = clustered(count, 32)
    vectors[:40] = vectors[40:80] + 1e-3 * vectors[80:120]
    return vectors.astype(np.float16)


def neighbours(workspace: Workspace) -> set[tuple[int, int]]:
    """Every entry (image, neighbour) of the lists behind the pairs of the rule knn."""
    rows = pq.read_table(workspace.pairs / "pairs.parquet").to_pylist()
    return {(row["b"], row["a"]) for row in rows if row["rank_a"]} | {
        (row["a"], row["b"]) for row in rows if row["rank_b"]
    }


@settings(max_examples=80, deadline=None)
@given(
    kind=st.sampled_from(["random", "copies", "all equal", "grid", "last bits"]),
    count=st.integers(2, 70),
    dim=st.sampled_from([2, 17]),
    high=st.sampled_from([float("inf"), 1.0, 0.9, 0.3]),
    copied=st.booleans(),
    seed=st.integers(0, 2**16),
    data=st.data(),
)
def test_search_of_every_cell_equals_a_float64_sort(kind, count, dim, high, copied, seed, data) -> None:
    vectors = vectors_with_ties(kind, count, dim, "float16", seed)
    files = np.random.default_rng(seed).integers(0, count, count) if copied else None
    rule = ListRule(MemoryVectors(vectors), data.draw(st.integers(1, count - 1)), high, files)
    engine = IvfEngine(unit_rows(vectors), high, min(4, count), 0)
    engine.effort = engine.cells
    wanted = wanted_lists(rule)
    for mine, theirs in zip(lists_of(IndexCandidates(rule, engine), 30), wanted, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    some = np.flatnonzero(np.arange(count) % 3 == 0)
    np.testing.assert_array_equal(exact_lists(rule, some), wanted[0][some])


@pytest.mark.parametrize("rule", ["knn", "mutual", "local", "shared"])
def test_search_of_every_cell_gives_the_bytes_of_exact(make_embeddings, rule) -> None:
    found = []
    for name, change in {"exact": {}, "ivf": {"engine": "ivf", "nprobe": 9, "nlist": 9}}.items():
        workspace = make_embeddings(with_copies(600), name=name)
        made = pairs(PairsOptions(rule=rule, neighbors=6, max=0.98, **change), workspace).record
        found.append({name: data for name, data in tables(workspace).items() if name != "lists.npy"})
        assert made["exact"] is (name == "exact") and made["duplicates"] >= 40 and made["pairs"] > 500
    assert found[0] == found[1]
    assert made["recall"] == {"value": 1, "low": 1, "high": 1, "anchors": 600, "neighbours": 600 * made_k(rule)}


def made_k(rule: str) -> int:
    return 12 if rule == "shared" else 6


@pytest.mark.parametrize("engine", WEAK)
def test_recall_is_the_share_of_the_neighbours_of_an_exact_run(make_embeddings, engine) -> None:
    asked = {"rule": "knn", "neighbors": 7, "max": 0.98}
    exact, workspace = (make_embeddings(with_copies(900), name=name) for name in ("exact", engine))
    pairs(PairsOptions(**asked), exact)
    made = pairs(PairsOptions(**asked, **WEAK[engine]), workspace)
    truth, some = neighbours(exact), neighbours(workspace)
    recall = made.record["recall"]
    assert recall["value"] == len(some & truth) / len(truth) < 1
    assert (recall["anchors"], recall["neighbours"]) == (900, len(truth))
    assert (
        made.record["exact"] is False
        and made.record["index"].items()
        >= {name: value for name, value in WEAK[engine].items() if name != "engine"}.items()
    )
    assert f"recall of the neighbour lists {np.floor(recall['value'] * 10_000) / 100:g} % (" in made.lines[0]
    assert f"on {len(truth):,} neighbours of 900 sampled images)" in made.lines[0] and "exact" not in made.lines[0]


@pytest.mark.parametrize("engine", WEAK)
def test_wanted_recall_is_reached_by_part_of_the_effort(engine) -> None:
    rule = ListRule(MemoryVectors(clustered(2500, 32, seed=5)), 10, 0.98)
    rows, efforts = anchor_rows(2500, 0)[0], []
    truth = exact_lists(rule, rows)
    for wanted in (0.5, 0.9, 0.99):
        lists = ApproximateLists(PairsOptions(rule="mutual", engine=engine, recall=wanted), rule)
        ids, _ = ListSearch(rule, source=lists.source).in_memory()
        share = are_listed(truth, ids[rows]).mean()
        assert share > wanted - 0.02
        assert lists.measured_lists(ids)["recall"]["value"] == share
        efforts.append(lists.effort)
    assert efforts == sorted(efforts) and efforts[-1] < lists().efforts[-1] / 2
    assert engine == "hnsw" or efforts[0] < efforts[2]


def test_engines_meet_in_no_cache(make_embeddings) -> None:
    workspace, asked = make_embeddings(with_copies(300)), {"rule": "mutual", "max": 0.98}
    pairs(PairsOptions(**asked), workspace)
    for engine in WEAK:
        with pytest.raises(MinerError, match="made by another request"):
            pairs(PairsOptions(**asked, engine=engine), workspace)
    pairs(PairsOptions(**asked, engine="ivf"), workspace, force=True)
    assert not pairs(PairsOptions(**asked, engine="ivf"), workspace).fresh
    for change in ({}, {"append": True}, {"engine": "ivf", "nprobe": 3}):
        with pytest.raises(MinerError, match=r"another request|the same request"):
            pairs(PairsOptions(**asked, **change), workspace)


@pytest.mark.parametrize("engine", WEAK)
def test_strips_and_an_interruption_change_nothing(make_embeddings, monkeypatch, engine) -> None:
    whole, stopped = (make_embeddings(with_copies(600), name=name) for name in ("whole", "stopped"))
    options = PairsOptions(rule="shared", max=0.98, engine=engine, recall=0.9)
    pairs(options, whole)
    candidates, searched = IndexCandidates.candidates, []

    def watched(self: IndexCandidates, start: int, stop: int):
        if len(searched) == 3:
            searched.append(None)
            raise KeyboardInterrupt
        searched.append(start)
        return candidates(self, start, stop)

    monkeypatch.setattr(IndexCandidates, "candidates", watched)
    with pytest.raises(KeyboardInterrupt):
        pairs(options, stopped, strip_rows=100)
    pairs(options, stopped, strip_rows=100)
    assert searched == [0, 100, 200, None, 300, 400, 500]
    assert contents(stopped) == contents(whole)


@pytest.mark.parametrize("engine", WEAK)
def test_another_process_makes_the_same_lists(engine) -> None:
    vectors = clustered(1500, 32, seed=3)
    rule = ListRule(MemoryVectors(vectors), 8, 0.98)
    lists = ApproximateLists(PairsOptions(rule="knn", engine=engine, recall=0.9), rule)
    here = ListSearch(rule, source=lists.source)
    travelled = pickle.dumps(here)
    assert len(travelled) < 1.1 * vectors.nbytes  # no index in it
    there = pickle.loads(travelled)
    for mine, theirs in zip(here.in_memory(), there.in_memory(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_threads_change_no_list(make_embeddings) -> None:
    import faiss

    rule, found = ListRule(MemoryVectors(clustered(2000, 48, seed=2)), 9, 0.98), []
    usual = faiss.omp_get_max_threads()
    try:
        for count in (1, 5):
            faiss.omp_set_num_threads(count)
            for engine in (
                IvfEngine(rule.vectors.read(0, 2000), 0.98, None, 0),
                HnswEngine(rule.vectors.read(0, 2000), 0.98, 4, 9),
            ):
                engine.effort = 3
                found.append(IndexCandidates(rule, engine).candidates(0, 2000))
    finally:
        faiss.omp_set_num_threads(usual)
    for one, other in ((found[0], found[2]), (found[1], found[3])):
        np.testing.assert_array_equal(one, other)
