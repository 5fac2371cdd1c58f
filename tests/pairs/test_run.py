"""`miner pairs` on vectors with known cosines."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from miner.artifacts.pairs.manifest import recall_in_words
from miner.artifacts.workspace import Workspace
from miner.engine import write_json
from miner.errors import MinerError
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.pairs.mined import contents, row_pairs, tables
from tests.pairs.vectors import fan


def test_band_duplicates_and_labels(make_embeddings) -> None:
    workspace = make_embeddings(fan(0, 1, 20, 45, 180), labels=[0, 0, 0, 1, 1])
    result = pairs(PairsOptions(min=0.85, max=0.99), workspace)
    assert row_pairs(workspace) == [(0, 2), (1, 2), (2, 3)]
    assert row_pairs(workspace, "duplicates") == [(0, 1)]
    table = pq.read_table(workspace.pairs / "pairs.parquet")
    assert table["key_a"].to_pylist() == ["k00000", "k00001", "k00002"]
    np.testing.assert_allclose(table["similarity"], np.cos(np.radians([20, 19, 25])), atol=1e-6)
    assert (table["label_a"].to_pylist(), table["label_b"].to_pylist()) == ([0, 0, 0], [0, 0, 1])
    assert result.record["pairs"] == 3 and result.record["images_in_pairs"] == 4
    assert result.record["labels"]["precision"] == pytest.approx(2 / 3)
    assert result.record["labels"]["chance"] == pytest.approx((3 * 2 + 2 * 1) / (5 * 4))


def test_bounds_belong_to_the_band(make_embeddings) -> None:
    vectors = np.array([[1, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0]], np.float32)  # cosines 0.5, 0, 0.5 exactly
    for low, high, wanted in ((0.5, 0.5, 2), (0.0, 0.5, 3), (0.0, 0.4999, 1), (0.5001, 1.0, 0)):
        workspace = make_embeddings(vectors, name=f"w{low}{high}")
        assert pairs(PairsOptions(min=low, max=high), workspace).record["pairs"] == wanted


def test_engines_give_the_same_bytes(make_embeddings) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 8)).astype(np.float16)
    options = PairsOptions(min=0.7, max=0.9, neighbors=4)
    results = []
    for engine in ("exact", "faiss"):
        workspace = make_embeddings(vectors, labels=(np.arange(300) % 3).tolist(), name=engine)
        record = pairs(options.model_copy(update={"engine": engine}), workspace).record
        results.append((tables(workspace), record["pairs"], record["request"]))
    assert results[0] == results[1]
    assert results[0][1] > 100


def test_equal_bytes_are_duplicates_whatever_the_band(make_embeddings) -> None:
    workspace = make_embeddings(fan(0, 10, 20), hashes=["same", "same", "other"])
    pairs(PairsOptions(min=0.5, max=1.0), workspace)
    assert row_pairs(workspace) == [(0, 2), (1, 2)]
    assert row_pairs(workspace, "duplicates") == [(0, 1)]


def test_mutual_and_cap_and_neighbours(make_embeddings) -> None:
    vectors = fan(0, 2, 5, 30, 33)
    workspace = make_embeddings(vectors)
    pairs(PairsOptions(min=0.5, max=1.0, mutual=True, neighbors=1), workspace)
    assert row_pairs(workspace) == [(0, 1), (3, 4)]
    assert np.load(workspace.pairs / "knn_ids.npy").tolist() == [[1], [0], [1], [4], [3]]
    workspace = make_embeddings(vectors, name="capped")
    pairs(PairsOptions(min=0.5, max=1.0, top_k=1), workspace)
    assert row_pairs(workspace) == [(0, 1), (3, 4)]


@pytest.mark.parametrize("most", [1, 7, 10_000])
def test_most_similar_are_the_head_of_the_band(make_embeddings, most) -> None:
    vectors = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    everything, some = make_embeddings(vectors, name="all"), make_embeddings(vectors, name="some")
    pairs(PairsOptions(min=0.8, max=0.99), everything)
    record = pairs(PairsOptions(min=0.8, max=0.99, most_similar=most), some).record
    rows = pq.read_table(everything.pairs / "pairs.parquet").to_pylist()
    head = sorted(rows, key=lambda row: -row["similarity"])[:most]
    assert row_pairs(some) == sorted((row["a"], row["b"]) for row in head)
    assert record["pairs"] == len(head) and record["request"]["most_similar"] == most


def test_sample_is_seeded_and_mines_among_itself(make_embeddings) -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    everything = make_embeddings(vectors, name="all")
    pairs(PairsOptions(min=0.5, max=0.9), everything)
    picks = []
    for name, amount, seed in (("x", 0.2, 1), ("y", 40, 1), ("z", 0.2, 2)):
        workspace = make_embeddings(vectors, name=name)
        record = pairs(PairsOptions(min=0.5, max=0.9, sample=amount, seed=seed), workspace).record
        assert record["images"] == 40
        chosen = row_pairs(workspace)
        rows = {row for pair in chosen for row in pair}
        assert chosen == [pair for pair in row_pairs(everything) if set(pair) <= rows]
        picks.append(chosen)
    assert picks[0] == picks[1] != picks[2]


@pytest.mark.parametrize(("low", "high", "state"), [(0.99, 0.999999, "is empty"), (-1.0, 1.0, "floods")])
def test_empty_and_flooded_bands_get_a_proposal_that_works(make_embeddings, low, high, state) -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 24)).astype(np.float32)
    workspace = make_embeddings(vectors)
    result = pairs(PairsOptions(min=low, max=high), workspace)
    assert state in result.lines[-1]
    proposal = result.record["proposal"]
    again = pairs(PairsOptions(min=proposal["min"], max=proposal["max"]), workspace, force=True)
    assert 150 <= again.record["pairs"] <= 300
    assert "proposal" not in again.record


def test_missing_embeddings_are_explained(tmp_path) -> None:
    with pytest.raises(MinerError, match="Run `miner embed SOURCE` first"):
        pairs(PairsOptions(), Workspace(tmp_path))


def test_auto_needs_a_calibration_of_these_embeddings(make_embeddings) -> None:
    workspace = make_embeddings(fan(0, 20, 40))
    with pytest.raises(MinerError, match="miner calibrate"):
        pairs(PairsOptions(auto=True), workspace)
    band = {"min": 0.9, "max": 0.99}
    record = {"request": {"embeddings": "others"}, "band": band, "images": 3, "estimated_pairs": 3}
    write_json(workspace.calibration, record)
    with pytest.raises(MinerError, match=r"calibration\.json belongs to other embeddings"):
        pairs(PairsOptions(auto=True), workspace)


def test_statistics_are_of_the_images_that_were_searched(make_embeddings) -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    workspace = make_embeddings(vectors, labels=[0] * 100 + [1] * 100)
    options = PairsOptions(min=0.9, max=0.999, sample=40, seed=3)
    record = pairs(options, workspace).record
    rows = np.sort(np.random.default_rng(3).permutation(200)[:40])
    chosen = row_pairs(workspace)
    images = {row for pair in chosen for row in pair}
    assert record["image_coverage"] == pytest.approx(len(images) / 40)
    assert record["labels"]["by_threshold"][-1]["coverage"] == pytest.approx(len(images) / 40)
    first = int((rows < 100).sum())
    assert record["labels"]["chance"] == pytest.approx(
        (first * (first - 1) + (40 - first) * (39 - first)) / (40 * 39), rel=1e-12
    )
    degree = np.bincount([row for pair in chosen for row in pair], minlength=200)[rows]
    distribution = dict(zip(record["degree"]["partners"], record["degree"]["images"], strict=True))
    assert distribution == {partners: (degree == partners).sum() for partners in {0, *degree.tolist()}}


def test_both_orders_are_the_same_pairs_written_twice(make_embeddings) -> None:
    vectors = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    labels = (np.arange(60) % 4).tolist()
    one, both = make_embeddings(vectors, labels, "one"), make_embeddings(vectors, labels, "both")
    first = pairs(PairsOptions(min=0.8, max=0.99, top_k=2), one)
    second = pairs(PairsOptions(min=0.8, max=0.99, top_k=2, both_orders=True), both)
    wanted = row_pairs(one)
    assert row_pairs(both) == sorted([*wanted, *((b, a) for a, b in wanted)])
    rows = pq.read_table(both.pairs / "pairs.parquet").to_pylist()
    for row in rows:
        assert (row["key_a"], row["key_b"]) == (f"k{row['a']:05d}", f"k{row['b']:05d}")
        assert (row["label_a"], row["label_b"]) == (row["a"] % 4, row["b"] % 4)
    forwards = [row for row in rows if row["a"] < row["b"]]
    assert forwards == pq.read_table(one.pairs / "pairs.parquet").to_pylist()
    counts = ("pairs", "images_in_pairs", "degree", "labels", "duplicates", "mutual_pairs")
    assert {name: first.record[name] for name in counts} == {name: second.record[name] for name in counts}
    assert second.record["both_orders"] and not first.record["both_orders"]


def test_groups_hold_duplicates_whatever_pairs_are_kept(make_embeddings) -> None:
    vectors = fan(0, 1, 12, 24, 36, 120, 121, 200)
    groups = []
    for name, change in (("all", {}), ("kept", {"top_k": 1, "mutual": True, "both_orders": True})):
        workspace = make_embeddings(vectors, labels=[0, 0, 0, 1, 1, 2, 2, 3], name=name)
        record = pairs(PairsOptions(min=0.97, max=0.99, groups=True, **change), workspace).record
        groups.append(pq.read_table(workspace.pairs / "groups.parquet"))
        assert "groups.parquet" in record["files"]
    assert groups[0] == groups[1]
    rows = {row["row"]: row for row in groups[0].to_pylist()}
    # 12 degrees are in the band, 24 are not: 0 to 36 degrees are a chain, whose ends are far below the band.
    assert [rows[row]["component"] for row in (0, 1, 2, 3, 4, 5, 6)] == [0, 0, 0, 0, 0, 1, 1]
    assert 7 not in rows
    assert len({rows[0]["group"], rows[1]["group"], rows[2]["group"]}) == 1
    assert rows[3]["group"] == rows[4]["group"] != rows[2]["group"]
    assert rows[0]["size"] == 3 and rows[0]["lowest"] == pytest.approx(np.cos(np.radians(12)))
    assert rows[5]["lowest"] == pytest.approx(np.cos(np.radians(1)))
    assert (rows[3]["key"], rows[3]["label"]) == ("k00003", 1)
    components, complete = record["groups"]["components"], record["groups"]["complete_link"]
    assert (components["number"], components["largest"], components["purity"]) == (2, 5, pytest.approx(5 / 7))
    assert (complete["number"], complete["purity"]) == (3, 1.0)


def test_graph_is_of_all_images_and_its_hubs_are_named(make_embeddings) -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 40)).astype(np.float32) + 1
    workspace = make_embeddings(vectors)
    record = pairs(PairsOptions(min=0.9, max=0.999, neighbors=5, sample=50), workspace).record
    ids = np.load(workspace.pairs / "knn_ids.npy")
    assert ids.shape == (300, 5)
    degree = np.bincount(ids.ravel(), minlength=300)
    hubs = record["neighbours"]["hubs"]
    assert [hub["in_degree"] for hub in hubs] == sorted(degree, reverse=True)[: len(hubs)]
    assert all(degree[hub["row"]] == hub["in_degree"] and hub["key"] == f"k{hub['row']:05d}" for hub in hubs)
    assert record["neighbours"]["antihubs"] == (degree == 0).mean()
    assert not (workspace.pairs / "parts").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neighbors": 40}, "only 39 other images"),
        ({"sample": 1.5}, "whole number"),
        ({"sample": 0.01}, "a pair needs two"),
        ({"device": "cuda:7"}, "no such device"),
    ],
)
def test_request_that_cannot_be_met_leaves_the_old_pairs(make_embeddings, change, message) -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    workspace = make_embeddings(vectors)
    options = PairsOptions(min=0.5, max=0.9)
    pairs(options, workspace)
    before = contents(workspace)
    with pytest.raises(MinerError, match=message):
        pairs(options.model_copy(update=change), workspace, force=True)
    assert contents(workspace) == before


def test_after_a_flood_a_better_band_needs_no_force(make_embeddings) -> None:
    workspace = make_embeddings(np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32))
    with pytest.raises(MinerError, match="floods"):
        pairs(PairsOptions(min=0.5, max=1.0, max_pairs=900_000), workspace)
    assert pairs(PairsOptions(min=0.9999, max=1.0), workspace).fresh


def test_recall_in_words_by_hand() -> None:
    record = {"value": 0.5, "low": 0.15, "high": 0.84999, "anchors": 2, "pairs": 4}
    assert recall_in_words(record) == "recall 50 % (15 % to 84.99 %, on 4 pairs of 2 sampled images)"
    words = recall_in_words({**record, "neighbours": record.pop("pairs")})
    assert words == "recall of the neighbour lists 50 % (15 % to 84.99 %, on 4 neighbours of 2 sampled images)"


def test_recall_is_rounded_down_in_words() -> None:
    record = {"value": 0.99999, "low": 0.98765, "high": 1.0, "anchors": 1000, "pairs": 5}
    assert recall_in_words(record).startswith("recall 99.99 % (98.76 % to 100 %, on 5 pairs")


def test_only_an_empty_result_is_replaced_without_force(make_embeddings) -> None:
    workspace = make_embeddings(fan(0, 20, 45))
    assert pairs(PairsOptions(min=0.99, max=1.0), workspace).record["pairs"] == 0
    assert pairs(PairsOptions(min=0.9, max=1.0), workspace).record["pairs"] == 2
    with pytest.raises(MinerError, match=r"another request: --min was 0\.9 and is now 0\.5"):
        pairs(PairsOptions(min=0.5, max=1.0), workspace)
