"""Pair tables on disk."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from miner.stored import Rows

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
PART_SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.int64()), ("similarity", pa.float64())])


def pair_table(
    a: Rows,
    b: Rows,
    similarity: NDArray[np.float64],
    mutual: NDArray[np.bool_],
    keys: Sequence[str],
    labels: NDArray[np.int64] | None,
) -> pa.Table:
    """The published form of pairs; `PAIR_SCHEMA`, in the given order."""
    all_keys = pa.array(keys, pa.string())
    return pa.table(
        {
            "a": a,
            "b": b,
            "key_a": all_keys.take(pa.array(a)),
            "key_b": all_keys.take(pa.array(b)),
            "similarity": similarity.astype(np.float32),
            "mutual": mutual,
            "label_a": label_column(labels, a),
            "label_b": label_column(labels, b),
        },
        schema=PAIR_SCHEMA,
    )


def read_ends(paths: Iterable[Path]) -> Iterator[Rows]:
    """The row numbers of parts, the a and the b of one after another."""
    for path in paths:
        table = pq.read_table(path, columns=["a", "b"])
        yield from (table["a"].to_numpy(), table["b"].to_numpy())


def label_column(labels: NDArray[np.int64] | None, rows: Rows) -> pa.Array:
    """Labels of rows, int32, null where unknown."""
    if labels is None:
        return pa.nulls(len(rows), pa.int32())
    chosen = labels[rows]
    return pa.array(chosen, pa.int32(), mask=chosen < 0)


def both_orders(table: pa.Table) -> pa.Table:
    """Every pair twice, as (a, b) and as (b, a), sorted by (a, b)."""
    swapped = {"a": "b", "b": "a", "key_a": "key_b", "key_b": "key_a", "label_a": "label_b", "label_b": "label_a"}
    mirrored = table.select([swapped.get(name, name) for name in PAIR_SCHEMA.names]).rename_columns(PAIR_SCHEMA.names)
    return pa.concat_tables([table, mirrored]).sort_by([("a", "ascending"), ("b", "ascending")])


def write_part(path: Path, a: Rows, b: Rows, similarity: NDArray[np.float64]) -> None:
    """The pairs of one strip, with the similarity in full precision."""
    pq.write_table(pa.table({"a": a, "b": b, "similarity": similarity}, schema=PART_SCHEMA), path)


def read_parts(paths: Sequence[Path]) -> tuple[Rows, Rows, NDArray[np.float64]]:
    """All parts together, in the order of the paths."""
    table = pa.concat_tables([pq.read_table(path, schema=PART_SCHEMA) for path in paths])
    return table["a"].to_numpy(), table["b"].to_numpy(), table["similarity"].to_numpy()
