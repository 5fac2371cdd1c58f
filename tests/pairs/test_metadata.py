"""Metadata of images: from a table by key or path, from the source, and from the folder of an image."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.engine.tar import write_tar
from miner.errors import MinerError, UsageError
from miner.pairs import constraints
from miner.pairs.constraints import read_constraints
from miner.pairs.metadata import read_metadata_columns
from miner.pairs.options import PairsOptions
from miner.pairs.tables.found import FoundPairs
from tests.source.tars import png


@pytest.fixture
def workspace(make_embeddings) -> Workspace:
    return make_embeddings(np.eye(4, dtype=np.float32))


@pytest.fixture
def store(workspace) -> EmbeddingStore:
    return EmbeddingStore(workspace)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_table_is_matched_by_key_in_any_order(store, tmp_path) -> None:
    table = written(tmp_path / "m.csv", "key,who\nk00003,007\nother,1\nk00000,7\nk00001,\n")
    assert read_metadata_columns(["who"], store, table) == {"who": ["7", None, None, "007"]}


def test_table_is_matched_by_path_without_a_key(store, tmp_path) -> None:
    table = written(tmp_path / "m.tsv", 'path\twho\nk00002.png\t"a\tb"\n')
    assert read_metadata_columns(["who"], store, table) == {"who": [None, None, "a\tb", None]}


def test_parquet_table_keeps_its_types(store, tmp_path) -> None:
    table = tmp_path / "m.parquet"
    pq.write_table(pa.table({"key": ["k00001"], "taken": [date(2025, 3, 1)], "n": [5]}), table)
    assert read_metadata_columns(["taken", "n"], store, table) == {
        "taken": [None, date(2025, 3, 1), None, None],
        "n": [None, 5, None, None],
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "image,who\nk00000,a\n", r"neither a column `key` nor a column `path`.*image, who"),
        ("m.csv", "key,who\nk00000,a\nk00000,b\n", "lists the image k00000 2 times"),
        ("m.csv", "key,who\nx1,a\n", "No key in .* the first is x1; that of the first image is k00000"),
        ("m.csv", "key,who\n", "has no rows"),
        ("m.csv", "key,who\nk00000,\n", "No image has a value of 'who'"),
        ("m.csv", "key,who\nk00000\n", "m.csv cannot be read: .*Expected 2 columns"),
        ("m.json", "{}", "give a .csv, .tsv, .parquet or .jsonl file"),
        ("m.parquet", "no table", "m.parquet cannot be read"),
    ],
)
def test_unusable_tables_are_refused(store, tmp_path, name, text, message) -> None:
    with pytest.raises(MinerError, match=message):
        read_metadata_columns(["who"], store, written(tmp_path / name, text))


def embedded(source: Path, root: Path) -> EmbeddingStore:
    workspace = Workspace(root)
    embed(EmbedOptions(source=str(source)), workspace)
    return EmbeddingStore(workspace)


def test_folder_of_an_image_is_a_column(tmp_path) -> None:
    photos = tmp_path / "photos"
    for number, folder in enumerate(("a", "b/c", "b")):
        (photos / folder).mkdir(parents=True, exist_ok=True)
        (photos / folder / f"{number}.png").write_bytes(png(number))
    store = embedded(photos, tmp_path / "w")
    assert read_metadata_columns(["folder"], store, None) == {"folder": ["a", "b", "b/c"]}
    for table in (None, written(tmp_path / "m.csv", "path,what\na/0.png,x\n")):
        with pytest.raises(UsageError, match="no metadata column 'who'"):
            read_metadata_columns(["who"], store, table)


def test_json_and_parquet_of_the_source_are_columns(tmp_path) -> None:
    members = [(f"k{number}.png", png(number)) for number in range(3)]
    members.insert(1, ("k0.json", json.dumps({"recording": 12, "more": {"site": [1, 2]}}).encode()))
    with (tmp_path / "data.tar").open("wb") as stream:
        write_tar(stream, members)
    store = embedded(tmp_path / "data.tar", tmp_path / "w")
    table = written(tmp_path / "m.csv", "key,patient\nk2,p\n")
    assert read_metadata_columns(["recording", "patient", "more"], store, table) == {
        "recording": [12, None, None],
        "patient": [None, None, "p"],
        "more": [{"site": [1, 2]}, None, None],
    }
    pq.write_table(pa.table({"image": [data for _, data in members[::2]], "day": [1, 2]}), tmp_path / "data.parquet")
    store = embedded(tmp_path / "data.parquet", tmp_path / "v")
    assert read_metadata_columns(["day"], store, None) == {"day": [1, 2]}


DAY = datetime(2025, 3, 1, 12)
TABLES = {
    "who": ["a", "b", "a", None],
    "n": [1, 4, 2.5, None],
    "day": ["2025-03-01", "2025-03-03T00:00:00+00:00", "2025-03-02 12:00", ""],
    "taken": [DAY, datetime(2025, 3, 1, 18), DAY.replace(tzinfo=UTC), None],
}


@pytest.mark.parametrize(
    ("options", "met"),
    [
        ({"differ": ["who"]}, {(0, 1), (1, 2)}),
        ({"same": ["who"]}, {(0, 2)}),
        ({"differ": ["n"]}, {(0, 1), (0, 2), (1, 2)}),
        ({"apart": ["n:1.5"]}, {(0, 1), (0, 2), (1, 2)}),
        ({"apart": ["n:2"]}, {(0, 1)}),
        ({"apart": ["day:1.5"]}, {(0, 1), (0, 2)}),
        ({"apart": ["day:2"]}, {(0, 1)}),
        ({"apart": ["taken:0.25"]}, {(0, 1), (1, 2)}),
    ],
)
def test_constraints_compare_known_values(workspace, monkeypatch, options, met) -> None:
    monkeypatch.setattr(constraints, "read_metadata_columns", lambda names, *_: {name: TABLES[name] for name in names})
    (constraint,) = read_constraints(PairsOptions(**options), workspace)
    a, b = np.triu_indices(4, 1)
    pairs = FoundPairs(a, b, np.zeros(6))
    keep = constraint.met_by(pairs)
    assert set(zip(a[keep].tolist(), b[keep].tolist(), strict=True)) == met
    assert (keep == constraint.met_by(FoundPairs(b, a, np.zeros(6)))).all()
    option = f"--{next(iter(options))} {options[next(iter(options))][0]}"
    record = {"constraint": option, "left_out": 6 - len(met), "unknown": 1}
    assert constraint.record(pairs, np.arange(4)) == record
    assert constraint.record(pairs, np.arange(3))["unknown"] == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["soon", None, None, None], "'soon' of the image k00000 is neither a number nor a date"),
        ([None, float("inf"), None, None], "inf of the image k00001 is neither"),
        ([True, None, None, None], "True of the image k00000 is neither"),
        (["2025-03-01", "3", None, None], "holds numbers and dates"),
    ],
)
def test_values_without_a_distance_are_refused(workspace, monkeypatch, values, message) -> None:
    monkeypatch.setattr(constraints, "read_metadata_columns", lambda *_: {"x": values})
    with pytest.raises(UsageError, match=message):
        read_constraints(PairsOptions(apart=["x:1"]), workspace)


def test_only_values_that_decide_change_the_checksum(workspace, monkeypatch) -> None:
    def checksum(option: str, values: list) -> str:
        monkeypatch.setattr(constraints, "read_metadata_columns", lambda *_: {"x": values})
        (constraint,) = read_constraints(PairsOptions(**{option: ["x:1" if option == "apart" else "x"]}), workspace)
        return constraint.sha256

    assert checksum("differ", ["a", "b", "a", None]) == checksum("differ", [7, 8, 7, ""])
    assert checksum("differ", ["a", "b", "a", None]) != checksum("differ", ["a", "b", "b", None])
    assert checksum("apart", [1, 2, 3, None]) == checksum("apart", ["1", "2.0", 3.0, None])
    assert checksum("apart", [1, 2, 3, None]) != checksum("apart", [1, 2, 4, None])
