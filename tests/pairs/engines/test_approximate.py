"""Approximate engines: what they find is true, what they miss is measured, and neither depends on threads or restarts."""

import pickle

import faiss
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.pairs.band import Band
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.pairs.arithmetic.cosine import unit_rows
from miner.pairs.engines.approximate import ApproximateSearch, least_effort
from miner.pairs.engines.faiss_approximate import HnswEngine, IvfEngine
from miner.pairs.engines.faiss_flat import FaissEngine
from miner.pairs.engines.recall import anchor_rows, true_pairs
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.pairs.mined import contents, in_short_strips, row_pairs, tables
from tests.pairs.vectors import adversarial, band_join, clustered, listed
from tests.processes import kill_command

ENGINES = {
    "ivf": lambda units, threshold: IvfEngine(units, threshold, None, 0),
    "hnsw": lambda units, threshold: HnswEngine(units, threshold, 8, 20),
}


def joined(engine, vectors: np.ndarray, threshold: float, folder, **settings) -> dict[tuple[int, int], float]:
    found = band_join(engine, vectors, threshold, **settings).run(folder)
    assert (found.a < found.b).all()
    assert np.array_equal(np.lexsort((found.b, found.a)), np.arange(len(found)))
    return dict(zip(listed(found), found.similarity.tolist(), strict=True))


@pytest.mark.parametrize("name", ENGINES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["random", "duplicates", "opposite", "cluster", "low rank", "grid", "scales"]),
    count=st.integers(2, 80),
    dim=st.sampled_from([2, 17, 128]),
    dtype=st.sampled_from(["float16", "float32"]),
    threshold=st.sampled_from([-1.0, 0.0, 0.5, 0.9]),
    effort=st.integers(1, 20),
    seed=st.integers(0, 2**16),
)
def test_every_found_pair_is_true_with_its_true_similarity(
    name, kind, count, dim, dtype, threshold, effort, seed, tmp_path_factory
) -> None:
    vectors = adversarial(kind, count, dim, dtype, seed)
    units = unit_rows(vectors)
    engine = ENGINES[name](units, threshold)
    engine.effort = min(effort, engine.efforts[-1])
    some = joined(engine, vectors, threshold, tmp_path_factory.mktemp("some"))
    truth = joined(FaissEngine(units, threshold), vectors, threshold, tmp_path_factory.mktemp("all"))
    assert some.items() <= truth.items()


def test_search_of_every_cell_gives_the_bytes_of_exact(make_embeddings) -> None:
    vectors = clustered(900, 32).astype(np.float16)
    labels = (np.arange(900) % 3).tolist()
    results = []
    for name, change in {"exact": {}, "ivf": {"engine": "ivf", "nprobe": 12, "nlist": 12}}.items():
        workspace = make_embeddings(vectors, labels=labels, name=name)
        record = pairs(PairsOptions(min=0.6, max=0.8, **change), workspace).record
        results.append((tables(workspace), record["pairs"], record["degree"]))
        assert record["exact"] is (name == "exact")
    assert results[0] == results[1]
    assert record["index"] == {"nlist": 12, "nprobe": 12}
    assert record["recall"]["value"] == record["recall"]["low"] == record["recall"]["high"] == 1
    assert results[0][1] > 1000


@pytest.mark.parametrize(("name", "effort"), [("ivf", "nprobe"), ("hnsw", "ef_search")])
def test_recall_is_the_share_of_the_pairs_of_an_exact_run(make_embeddings, name, effort) -> None:
    vectors = clustered(900, 32).astype(np.float16)  # fewer than 1,000, so that every image is an anchor
    band = {"min": 0.45, "max": 0.6}
    exact = make_embeddings(vectors, name="exact")
    pairs(PairsOptions(**band), exact)
    workspace = make_embeddings(vectors, name=name)
    options = {"engine": name, effort: 1} | ({"links": 2, "ef_construction": 1} if name == "hnsw" else {})
    result = pairs(PairsOptions(**band, **options), workspace)
    some, everything = set(row_pairs(workspace)), set(row_pairs(exact))
    assert some < everything
    recall = result.record["recall"]
    assert recall["value"] == len(some) / len(everything) < 1
    assert recall["anchors"] == 900 and recall["pairs"] == 2 * len(everything)
    assert f"recall {np.floor(recall['value'] * 10_000) / 100:g} %" in result.lines[0]
    assert "exact" not in result.lines[0]


@pytest.mark.parametrize("name", ENGINES)
def test_wanted_recall_is_reached_by_part_of_the_effort(name) -> None:
    vectors = clustered(2500, 32, seed=5)
    band = Band(0.6, 0.8)
    efforts = []
    for wanted in (0.5, 0.9, 0.99):
        engine = ApproximateSearch(PairsOptions(engine=name, recall=wanted), MemoryVectors(vectors), band)()
        parts = true_pairs(MemoryVectors(vectors), anchor_rows(2500, 0)[0], band)
        anchor, partner = (np.concatenate(side) for side in zip(*parts, strict=True))
        later = partner > anchor
        truth = set(zip(anchor[later].tolist(), partner[later].tolist(), strict=True))
        a, b = engine.search(np.unique(anchor[later]), engine.effort, 10**7)
        share = len(truth & set(zip(a.tolist(), b.tolist(), strict=True))) / len(truth)
        assert len(truth) > 1000 and share > wanted - 0.02
        efforts.append(engine.effort)
    assert efforts == sorted(efforts)
    assert efforts[-1] < engine.efforts[-1] / 2
    assert name == "hnsw" or efforts[0] < efforts[2]


@pytest.mark.parametrize("name", ENGINES)
def test_another_process_makes_the_same_engine(name) -> None:
    vectors = clustered(1500, 32, seed=3)
    search = ApproximateSearch(PairsOptions(engine=name, recall=0.9), MemoryVectors(vectors), Band(0.5, 0.8))
    travelled = pickle.dumps(search)
    assert len(travelled) < 1.1 * vectors.nbytes  # no index in it
    here, there = search(), pickle.loads(travelled)()
    assert here is not there
    assert here.record() == there.record()
    assert here.effort < here.efforts[-1]
    for left, right in zip(here.candidates(0, 700, 10**6), there.candidates(0, 700, 10**6), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", ENGINES)
def test_pairs_below_min_b_are_left_out(name) -> None:
    units = clustered(1500, 32, seed=3)
    engine = ENGINES[name](units, 0.5)
    a, b = engine.candidates(0, 1500, 10**6)
    some = engine.candidates(0, 1500, 10**6, min_b=900)
    assert 0 < len(some[0]) < len(a)
    np.testing.assert_array_equal(some, (a[b >= 900], b[b >= 900]))


def test_effort_stays_without_true_pairs_to_choose_it_on() -> None:
    engine = ENGINES["ivf"](clustered(500, 16), 0.999999)
    nothing = np.empty(0, np.int64)
    before = engine.effort
    assert least_effort(engine, (nothing, nothing), 0.98, 500, 10**6) == before == engine.cells // 8


@pytest.mark.parametrize("name", ENGINES)
def test_threads_change_nothing(name, threads) -> None:
    units = clustered(3000, 48, seed=2)
    results = []
    for count in (1, 2, 7):
        threads(count)
        engine = ENGINES[name](units, 0.3)
        assert faiss.omp_get_max_threads() == count
        engine.effort = 2
        index = faiss.serialize_index(engine.index)
        results.append([index, *engine.candidates(0, 1500, 10**7)])
    for other in results[1:]:
        for left, right in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(left, right)
    assert len(results[0][1]) > 1000


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("strip_rows", [37, 2048])
def test_strips_and_restarts_change_nothing(name, strip_rows, tmp_path) -> None:
    vectors = clustered(1500, 32)
    engine = ENGINES[name](vectors, 0.4)
    engine.effort = 3
    whole = joined(engine, vectors, 0.4, tmp_path / "whole", strip_rows=500)
    (tmp_path / "whole" / "strip-000000500.parquet").unlink()
    again = ENGINES[name](vectors, 0.4)
    again.effort = 3
    assert joined(again, vectors, 0.4, tmp_path / "whole", strip_rows=500) == whole
    assert joined(again, vectors, 0.4, tmp_path / "strips", strip_rows=strip_rows) == whole


def with_threads(count: int, options: PairsOptions, workspace: Workspace) -> None:
    before = torch.get_num_threads(), faiss.omp_get_max_threads()
    torch.set_num_threads(count)
    faiss.omp_set_num_threads(count)
    try:
        pairs(options, workspace, strip_rows=100)
    finally:
        torch.set_num_threads(before[0])
        faiss.omp_set_num_threads(before[1])


@pytest.mark.parametrize("name", ENGINES)
def test_killed_run_ends_with_the_same_bytes(name, make_embeddings) -> None:
    vectors = clustered(1500, 32).astype(np.float16)
    whole, killed = (make_embeddings(vectors, name=folder) for folder in ("whole", "killed"))
    command = ["pairs", "--min", "0.6", "--max", "0.8", "--engine", name, "-w", str(killed.root)]
    with_threads(1, PairsOptions(min=0.6, max=0.8, engine=name), whole)
    kill_command(command, lambda: any(killed.pairs.glob("parts/strip-*.parquet")), in_short_strips, threads=2)
    assert not (killed.pairs / "manifest.json").exists()
    with_threads(3, PairsOptions(min=0.6, max=0.8, engine=name), killed)
    assert contents(whole) == contents(killed)


@pytest.mark.parametrize("name", ENGINES)
def test_flood_is_explained(name, make_embeddings) -> None:
    workspace = make_embeddings(adversarial("cluster", 200, 8, "float32", 0))
    with pytest.raises(MinerError, match=r"More than 1,000 pairs.*Nothing was cut off"):
        pairs(PairsOptions(min=0.5, max=1.0, max_pairs=1000, engine=name), workspace)
    assert not workspace.pairs.exists()


@pytest.mark.parametrize("name", ENGINES)
def test_empty_band_says_that_recall_is_unknown(name, make_embeddings) -> None:
    workspace = make_embeddings(clustered(300, 32))
    result = pairs(PairsOptions(min=0.99999, max=1.0, engine=name), workspace)
    assert result.record["recall"] == {"value": None, "low": None, "high": None, "anchors": 300, "pairs": 0}
    assert "recall could not be measured (no pair of 300 sampled images lies in the band)" in result.lines[0]


def test_exact_engines_share_a_request_approximate_ones_do_not(make_embeddings) -> None:
    vectors = clustered(300, 16)
    workspace = make_embeddings(vectors)
    pairs(PairsOptions(min=0.7, max=0.9), workspace)
    assert not pairs(PairsOptions(min=0.7, max=0.9, engine="faiss"), workspace).fresh
    for change in ({"engine": "ivf"}, {"engine": "hnsw"}):
        with pytest.raises(MinerError, match="made by another request"):
            pairs(PairsOptions(min=0.7, max=0.9, **change), workspace)
    pairs(PairsOptions(min=0.7, max=0.9, engine="ivf"), workspace, force=True)
    assert not pairs(PairsOptions(min=0.7, max=0.9, engine="ivf"), workspace).fresh
    with pytest.raises(MinerError, match="--nprobe was not given and is now 3"):
        pairs(PairsOptions(min=0.7, max=0.9, engine="ivf", nprobe=3), workspace)
