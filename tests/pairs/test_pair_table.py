"""Pairs of somebody else's table: matched by name, once each, with cosines of the vectors."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.engine import Result
from miner.errors import MinerError, UsageError
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.verify.run import verify
from tests.pairs.mined import contents, row_pairs
from tests.pairs.vectors import brute_force, clustered

VECTORS = clustered(40, 8)
PAIRS = [(3, 9), (9, 3), (0, 1), (5, 5), (3, 9), (39, 20)]


@pytest.fixture
def workspace(make_embeddings) -> Workspace:
    return make_embeddings(VECTORS, labels=[row % 2 for row in range(40)])


def key(row: int) -> str:
    return f"k{row:05d}"


def write(path: Path, names: tuple[str, ...] = ("a", "b"), suffix: str = "", rows=PAIRS) -> Path:
    lines = [",".join(names), *(f"{key(a)}{suffix},{key(b)}{suffix}" + ",1.5" * (len(names) - 2) for a, b in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def take(workspace: Workspace, table: Path, force: bool = True, **options) -> Result:
    return pairs(PairsOptions.parse({"table": str(table), **options}), workspace, force=force)


def refused(workspace: Workspace, table: Path, **options) -> str:
    with pytest.raises(MinerError) as error:
        take(workspace, table, **options)
    return str(error.value)


def test_each_pair_stands_once_with_its_cosine(workspace: Workspace, tmp_path: Path) -> None:
    result = take(workspace, write(tmp_path / "t.csv"))

    assert row_pairs(workspace) == [(0, 1), (3, 9), (20, 39)]
    table = pq.read_table(workspace.pairs / "pairs.parquet")
    cosines = brute_force(VECTORS)
    assert np.allclose(table["similarity"].to_numpy(), [cosines[pair] for pair in row_pairs(workspace)], atol=1e-7)
    made = PairsManifest.read(workspace)
    assert (made.request.rule, made.pairs, made.table.self_pairs, made.table.repeats) == ("table", 3, 1, 2)
    assert result.lines[1] == "pairs: rule table: the two stand in a row of a given table"
    assert (
        "6 rows of t.csv (a, b); left out: 1 of an image with itself, 2 of a pair that stands before" in result.lines[2]
    )
    assert verify(str(workspace.root)).lines[-1].endswith("3 files are whole; 3 pairs")


@pytest.mark.parametrize("names", [("path_a", "path_b"), ("image1", "image2"), ("anchor", "positive", "score")])
def test_tables_of_every_kind_give_the_same_pairs(workspace: Workspace, tmp_path: Path, names: tuple[str, ...]) -> None:
    columns = {name: [f"/data/{key(pair[side])}.png" for pair in PAIRS] for side, name in enumerate(names[:2])}
    if len(names) > 2:
        columns[names[2]] = [0.5, 9.0, -1.0, 3.0, 4.0, None]
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    rows = pa.table(columns).to_pylist()
    (tmp_path / "t.jsonl").write_text("".join(f"{row}\n".replace("'", '"').replace("None", "null") for row in rows))
    write(tmp_path / "t.csv", names[:2], ".png")
    for ending in ("parquet", "jsonl", "csv"):
        take(workspace, tmp_path / f"t.{ending}")
        assert row_pairs(workspace) == [(0, 1), (3, 9), (20, 39)], ending
        scores = pq.read_table(workspace.pairs / "pairs.parquet").to_pydict().get("table_score")
        assert (scores is None) == (len(names) == 2 or ending == "csv")
        assert scores is None or np.array_equal(scores, [-1.0, 0.5, np.nan], equal_nan=True)


def test_columns_are_named_by_flag(workspace: Workspace, tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", ("left", "right", "votes"))
    assert "has the columns left, right, votes, and none has a usual name" in refused(workspace, table)
    assert "none is called l" in refused(workspace, table, table_columns=["l", "right"])
    take(workspace, table, table_columns=["left", "right", "votes"])
    assert pq.read_table(workspace.pairs / "pairs.parquet")["table_score"].to_pylist() == [1.5] * 3


def test_unknown_images_are_refused_with_counts(workspace: Workspace, tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", rows=[*PAIRS, (40, 1), (41, 40)])
    message = refused(workspace, table)
    assert "2 of 9 images are not embedded, such as k00040, k00041; they stand in 2 of 8 rows." in message
    assert "The first embedded image has the key k00000 and the path k00000.png" in message
    assert not (workspace.pairs / "pairs.parquet").exists()


def test_damaged_tables_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    empty, text, hole = (tmp_path / name for name in ("e.csv", "t.csv", "h.csv"))
    empty.write_text("a,b\n")
    text.write_text(f"a,b,score\n{key(0)},{key(1)},high\n")
    hole.write_text(f"a,b\n{key(0)},\n")
    assert "has no rows" in refused(workspace, empty)
    assert "something that is no number" in refused(workspace, text)
    assert "The column b of" in refused(workspace, hole) and "has no value in 1 row" in refused(workspace, hole)
    assert "cannot be read: No such file" in refused(workspace, tmp_path / "none.csv")


def test_filters_and_duplicates_apply(make_embeddings, tmp_path: Path) -> None:
    hashes = [f"{row:064x}" for row in range(40)]
    hashes[1] = hashes[0]
    workspace = make_embeddings(VECTORS, hashes=hashes)
    cosine = EmbeddingStore(workspace).vectors.astype(np.float64)
    between = sorted(float(cosine[a] @ cosine[b]) for a, b in ((3, 9), (20, 39)))
    table, middle = write(tmp_path / "t.csv"), sum(between) / 2
    take(workspace, table)
    assert (len(row_pairs(workspace)), row_pairs(workspace, "duplicates")) == (2, [(0, 1)])
    take(workspace, table, min=middle)
    above = row_pairs(workspace)
    take(workspace, table, max=middle)
    assert len(above) == 1 and not set(above) & set(row_pairs(workspace))
    assert above[0] in row_pairs(workspace, "duplicates")
    take(workspace, table, most_similar=1, both_orders=True)
    assert row_pairs(workspace) == sorted([above[0], above[0][::-1]])
    assert verify(str(workspace.root)).lines


def test_request_knows_the_bytes_of_the_table(workspace: Workspace, tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv")
    take(workspace, table)
    before = contents(workspace)
    moved = table.rename(tmp_path / "moved.csv")
    assert not take(workspace, moved, force=False).fresh
    assert contents(workspace) == before
    assert "--table-columns was not given" in refused(workspace, moved, force=False, table_columns=["b", "a"])
    write(moved, rows=PAIRS[:3])
    with pytest.raises(MinerError, match="the pairs of --table are others"):
        take(workspace, moved, force=False)


def test_options_of_a_search_are_refused() -> None:
    search = {"neighbors": 3, "sample": 0.5, "auto": True, "append": True, "groups": True, "agree": ["w"]}
    for name, value in search.items():
        with pytest.raises(UsageError, match=f"--{name} belongs to|--{name} and --agree"):
            PairsOptions.parse({"table": "t.csv", name: value})
    with pytest.raises(UsageError, match="two or three columns"):
        PairsOptions.parse({"table": "t.csv", "table_columns": ["a"]})
    with pytest.raises(UsageError, match="--table-columns names columns of --table"):
        PairsOptions.parse({"table_columns": ["a", "b"]})
