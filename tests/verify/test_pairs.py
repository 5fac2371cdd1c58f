"""Pair tables, both orders, neighbours and groups: whole as written, and edits with care are found."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.pairs.options import PairsOptions
from miner.run_stages import run_stage
from miner.verify.run import verify
from tests.verify.edits import put, rejects, resign, rewrite_table, swap_rows, turn


@pytest.fixture
def mined(finished: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(finished / "embeddings", tmp_path / "w" / "embeddings")
    workspace = Workspace(tmp_path / "w")
    options = PairsOptions(min=0.5, max=0.95, both_orders=True, groups=True, neighbors=4)
    run_stage("pairs", options, workspace, False)
    return workspace


def test_both_orders_neighbours_and_groups_are_whole(mined: Workspace) -> None:
    verify(str(mined.root))
    assert {"groups.parquet", "knn_ids.npy"} <= set(PairsManifest.read(mined).files)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swap_rows, "row 4 does not come after the row before it"),
        (turn, "row 2 pairs .* where a < b should hold"),
        (put("similarity", 0.4), "outside the band"),
        (put("similarity", float("nan")), "outside the band"),
        (put("similarity", 0.501), "but its vectors have"),
        (put("key_a", "nobody"), "calls image .* by another key in key_a"),
        (lambda columns: [values.pop() for values in columns.values()], "pairs, where the manifest says"),
    ],
)
def test_edited_pair_table_is_found(workspace: Workspace, change, message: str) -> None:
    rewrite_table(workspace.pairs / "pairs.parquet", change)
    resign(workspace.pairs)
    assert "pairs.parquet" in rejects(workspace.root, message)


Change = Callable[[pa.Table], pa.Table]


def put_at(name: str, row: int, value: object) -> Change:
    def change(table: pa.Table) -> pa.Table:
        values = table[name].to_pylist()
        values[row] = value
        return table.set_column(table.column_names.index(name), name, pa.array(values, table[name].type))

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("pairs", lambda table: table.slice(1), r"pairs.parquet does not hold every pair as \(a, b\) and as \(b, a\)"),
        ("pairs", lambda table: table.take(pa.array(range(len(table) - 1, -1, -1))), "in order"),
        ("pairs", put_at("label_a", 0, 7), "labels differ between their two orders"),
        ("pairs", put_at("similarity", 0, 0.51), "similarities differ between their two orders"),
        ("pairs", lambda table: table.slice(0, 0), "holds 0 pairs"),
        ("groups", put_at("size", 0, 1), "row 0 is in a group of another size"),
        ("groups", put_at("key", 0, "nobody"), "by another key in key"),
        ("groups", lambda table: pa.concat_tables([table.slice(1), table.slice(0, 1)]), "not in order"),
    ],
)
def test_edited_orders_and_groups_are_found(mined: Workspace, name: str, change: Change, message: str) -> None:
    path = mined.pairs / f"{name}.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    resign(mined.pairs)
    rejects(mined.root, message)


def turned(array: np.ndarray) -> np.ndarray:
    array[3] = array[3, ::-1]
    return array


def itself(array: np.ndarray) -> np.ndarray:
    array[3, 0] = 3
    return array


def twice(array: np.ndarray) -> np.ndarray:
    array[3, 1] = array[3, 0]
    return array


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("knn_ids", itself, "row 3 are not others"),
        ("knn_ids", twice, "row 3 are not others"),
        ("knn_ids", turned, "knn_sims.npy: row 12 has the similarity"),
        ("knn_sims", turned, "row 3 are not others in falling order"),
        ("knn_ids", lambda array: array[:, :3], "no table of 4 neighbours"),
    ],
)
def test_edited_neighbours_are_found(
    mined: Workspace, name: str, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    path = mined.pairs / f"{name}.npy"
    np.save(path, change(np.load(path)))
    resign(mined.pairs)
    rejects(mined.root, message)


def gap(array: np.ndarray) -> np.ndarray:
    array[3, 0] = -1
    return array


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, None),
        (itself, "the list of row 3 holds no different others"),
        (twice, "the list of row 3 holds no different others"),
        (gap, "the list of row 3 holds no different others"),
        (lambda array: array[:-1], "holds no list for each image"),
    ],
)
def test_edited_lists_of_a_rule_are_found(mined: Workspace, change: Callable | None, message: str | None) -> None:
    run_stage("pairs", PairsOptions(rule="mutual", neighbors=4, max=0.95), mined, True)
    path = mined.pairs / "lists.npy"
    if change is None or message is None:
        verify(str(mined.root))
        return
    np.save(path, change(np.load(path)))
    resign(mined.pairs)
    rejects(mined.root, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, ""),
        (swap_rows, "row 4 does not come after the row before it"),
        (put("similarity", 0.4), "outside the band"),
        (put("similarity", 0.501), "but its vectors have"),
        (put("key_b", "nobody"), "calls image .* by another key in key_b"),
        (put("b", -1), "row 1 names a row below 0"),
        (lambda columns: [values.pop() for values in columns.values()], "pairs, where the manifest says"),
    ],
)
def test_pairs_between_two_sets_are_checked(finished: Path, tmp_path: Path, change, message: str) -> None:
    for name in ("here", "there"):
        shutil.copytree(finished / "embeddings", tmp_path / name / "embeddings")
    workspace = Workspace(tmp_path / "here")
    run_stage("pairs", PairsOptions(against=str(tmp_path / "there"), min=0.5), workspace, False)
    if change is None:
        assert any("similarities computed again" in line for line in verify(str(tmp_path)).lines)
        verify(str(workspace.root))  # without the other set
        return
    rewrite_table(workspace.against("there") / "matches.parquet", change)
    resign(workspace.against("there"))
    assert "matches.parquet" in rejects(tmp_path, message)
