"""The published tables of pairs: `pairs.parquet` and `duplicates.parquet`, written and read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows, blocks
from miner.artifacts.parquet import read_columns

_GROUP_ROWS = 1 << 17

DUPLICATE_IMAGES = "duplicate_images.parquet"  # the images that are not kept of each group of near-identical images

PAIR_SCHEMA = pa.schema(
    [
        ("a", pa.int64()),
        ("b", pa.int64()),
        ("key_a", pa.string()),
        ("key_b", pa.string()),
        ("similarity", pa.float32()),
        ("mutual", pa.bool_()),
        ("label_a", pa.int32()),
        ("label_b", pa.int32()),
    ]
)


def write_pairs(
    path: Path,
    a: Rows,
    b: Rows,
    similarity: NDArray[np.float64],
    evidence: Mapping[str, NDArray[Any]],
    keys: pa.Array,
    labels: NDArray[np.int64] | None,
    of_b: tuple[pa.Array, NDArray[np.int64] | None] | None = None,
) -> None:
    """Write a table of pairs with `PAIR_SCHEMA`, one row group at a time so that memory stays small.

    Args:
        a, b: row numbers of the images of each pair, int64 (m,).
        similarity: cosine of each pair, float64 (m,); the table holds it as float32.
        evidence: `mutual`, whether each image of a pair is among the nearest neighbours of the other, bool (m,); and further
            columns of the table by name, (m,) each. Between two sets it has no `mutual`.
        keys: the keys of all images, by row number.
        labels: the labels of all images, -1 where unknown, or None.
        of_b: keys and labels of the second of two sets, whose images are b.
    """
    keys_b, labels_b = of_b or (keys, labels)
    types = {name: pa.from_numpy_dtype(values.dtype) for name, values in evidence.items() if name != "mutual"}
    known = [field for field in PAIR_SCHEMA if field.name != "mutual" or "mutual" in evidence]
    schema = pa.schema([*known, *map(pa.field, types.keys(), types.values())])
    with path.open("wb") as stream, pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for start, stop in blocks(len(a), _GROUP_ROWS):
            left, right = a[start:stop], b[start:stop]
            columns = {
                "a": left,
                "b": right,
                "key_a": keys.take(pa.array(left)),
                "key_b": keys_b.take(pa.array(right)),
                "similarity": similarity[start:stop].astype(np.float32),
                "label_a": label_column(labels, left),
                "label_b": label_column(labels_b, right),
                **{name: values[start:stop] for name, values in evidence.items()},
            }
            writer.write_table(pa.table(columns, schema=schema))


def read_pairs(
    path: Path,
    columns: Sequence[str] = tuple(PAIR_SCHEMA.names),
    *,
    evidence: bool = False,
    made_by: str = "miner pairs",
) -> pa.Table:
    """Columns of a table of pairs, with the types of `PAIR_SCHEMA`, in the order of its rows.

    Args:
        path: `pairs.parquet` or `duplicates.parquet` of a workspace, or `pairs.parquet` of exported shards.
        columns: exported tables have no `a` and `b`.
        evidence: read the further columns of the table as well, which say why a pair is one.
        made_by: the command that makes the table; the error message names it.
    Raises:
        MinerError: the file is missing or damaged, or lacks a column.
    """
    schema = pa.schema([*(PAIR_SCHEMA.field(name) for name in columns), *(_evidence(path) if evidence else [])])
    return read_columns(path, schema.names, made_by, schema)


def _evidence(path: Path) -> list[pa.Field]:
    """The further columns of a table of pairs; none of a damaged one, which `read_columns` reports."""
    try:
        with path.open("rb") as stream:
            return [field for field in pq.read_schema(stream) if field.name not in PAIR_SCHEMA.names]
    except (OSError, pa.ArrowException):
        return []


def one_order(table: pa.Table) -> pa.Table:
    """Each pair of a table once, as (a, b) with a < b, also where both orders are listed."""
    return table.filter(pc.less(table["a"], table["b"]))


def label_column(labels: NDArray[np.int64] | None, rows: Rows) -> pa.Array:
    """Labels of rows, int32, null where unknown."""
    if labels is None:
        return pa.nulls(len(rows), pa.int32())
    chosen = labels[rows]
    return pa.array(chosen, pa.int32(), mask=chosen < 0)
