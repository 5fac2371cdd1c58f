import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.artifacts.pairs.table import PAIR_SCHEMA, read_pairs
from miner.errors import MinerError


def table(**changed: pa.Array) -> pa.Table:
    columns = {
        "a": pa.array([0, 1]),
        "b": pa.array([2, 3]),
        "key_a": pa.array(["zero", "one"]),
        "key_b": pa.array(["two", "three"]),
        "similarity": pa.array([0.5, 0.75], pa.float32()),
        "mutual": pa.array([True, False]),
        "label_a": pa.array([1, None], pa.int32()),
        "label_b": pa.array([1, 2], pa.int32()),
    }
    return pa.table(columns | changed)


def test_read_pairs_gives_all_columns_in_their_types(tmp_path):
    pq.write_table(table(similarity=pa.array([0.5, 0.75], pa.float64())), tmp_path / "pairs.parquet")

    read = read_pairs(tmp_path / "pairs.parquet")

    assert read.schema == PAIR_SCHEMA
    assert read.equals(table())


def test_read_pairs_chosen_columns_keep_their_order(tmp_path):
    pq.write_table(table(), tmp_path / "pairs.parquet")

    read = read_pairs(tmp_path / "pairs.parquet", ("key_b", "a"))

    assert read.column_names == ["key_b", "a"]
    assert read["a"].to_numpy().tolist() == np.arange(2).tolist()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: pq.write_table(table().drop_columns(["similarity"]), path),
        lambda path: pq.write_table(table(similarity=pa.array(["high", "low"])), path),
    ],
    ids=["missing", "cut", "no similarity", "text for numbers"],
)
def test_read_pairs_damage_names_file_and_command(tmp_path, damage):
    path = tmp_path / "pairs.parquet"
    pq.write_table(table(), path)
    damage(path)

    with pytest.raises(MinerError, match=r"pairs\.parquet is missing or damaged .* Run `miner export --force` again"):
        read_pairs(path, made_by="miner export")
