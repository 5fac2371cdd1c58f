"""Pair tables on disk."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows, blocks
from miner.errors import MinerError

Places = slice | NDArray[np.bool_] | Rows

_RUN_ROWS = 1 << 17  # of one row group

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
ENDS_SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.int64())])
PART_SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.int64()), ("similarity", pa.float64())])


@dataclass(frozen=True)
class FoundPairs:
    """Pairs of a join, sorted by (a, b).

    Attributes:
        a, b: row numbers, a < b unless both orders are listed, int64 (m,).
        similarity: float64 (m,).
    """

    a: Rows
    b: Rows
    similarity: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.a)

    def at(self, places: Places) -> "FoundPairs":
        """Some of them: by a mask, or by number."""
        return FoundPairs(self.a[places], self.b[places], self.similarity[places])

    def in_both_orders(self) -> tuple["FoundPairs", Rows]:
        """Every pair twice, as (a, b) and as (b, a), sorted; and the number that each has here."""
        a, b = np.concatenate([self.a, self.b]), np.concatenate([self.b, self.a])
        order = np.lexsort((b, a))
        numbers = order % max(len(self), 1)
        return FoundPairs(a[order], b[order], self.similarity[numbers]), numbers


def write_pairs(
    path: Path, pairs: FoundPairs, mutual: NDArray[np.bool_], keys: pa.Array, labels: NDArray[np.int64] | None
) -> None:
    """The published form of pairs, `PAIR_SCHEMA`, in runs of rows so that memory stays small.

    Args:
        mutual: of each pair.
        keys: of all images, by row number.
        labels: of all images, -1 where unknown, or None.
    """
    with pq.ParquetWriter(path, PAIR_SCHEMA, compression="zstd") as writer:
        for start, stop in blocks(len(pairs), _RUN_ROWS):
            some, run = pairs.at(slice(start, stop)), slice(start, stop)
            columns = {
                "a": some.a,
                "b": some.b,
                "key_a": keys.take(pa.array(some.a)),
                "key_b": keys.take(pa.array(some.b)),
                "similarity": some.similarity.astype(np.float32),
                "mutual": mutual[run],
                "label_a": label_column(labels, some.a),
                "label_b": label_column(labels, some.b),
            }
            writer.write_table(pa.table(columns, schema=PAIR_SCHEMA))


def read_pairs(
    path: Path, columns: Sequence[str] = tuple(PAIR_SCHEMA.names), *, made_by: str = "miner pairs"
) -> pa.Table:
    """Columns of a table of pairs, with the types of `PAIR_SCHEMA`, in the order of its rows.

    Args:
        path: `pairs.parquet` or `duplicates.parquet` of a workspace, or `pairs.parquet` of exported shards.
        columns: names to read. Exported tables have no `a` and `b`.
        made_by: the command that makes the table; the error message names it.
    Raises:
        MinerError: the file is missing or damaged, or lacks a column.
    """
    try:
        table = pq.read_table(path, columns=[*columns], partitioning=None).select([*columns])
        return table.cast(pa.schema([PAIR_SCHEMA.field(name) for name in columns]))
    except (OSError, KeyError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise MinerError(f"{path} is missing or damaged ({reason}). Run `{made_by} --force` again.") from error


def one_order(table: pa.Table) -> pa.Table:
    """Each pair of a table once, as (a, b) with a < b, also where both orders are listed."""
    return table.filter(pc.less(table["a"], table["b"]))


def write_ends(path: Path, pairs: FoundPairs) -> None:
    """Row numbers of pairs, `ENDS_SCHEMA`."""
    pq.write_table(pa.table({"a": pairs.a, "b": pairs.b}, schema=ENDS_SCHEMA), path, compression="zstd")


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


def write_part(path: Path, pairs: FoundPairs) -> None:
    """The pairs of one strip, with the similarity in full precision."""
    pq.write_table(pa.table({"a": pairs.a, "b": pairs.b, "similarity": pairs.similarity}, schema=PART_SCHEMA), path)


def read_parts(paths: Sequence[Path]) -> FoundPairs:
    """All parts together, in the order of the paths."""
    rows = [int(pq.read_metadata(path).num_rows) for path in paths]
    ends = np.cumsum(rows)
    count = int(ends[-1]) if len(ends) else 0
    found = FoundPairs(np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.float64))
    for path, stop, length in zip(paths, ends, rows, strict=True):
        table = pq.read_table(path, schema=PART_SCHEMA)
        run = slice(stop - length, stop)
        found.a[run], found.b[run] = table["a"].to_numpy(), table["b"].to_numpy()
        found.similarity[run] = table["similarity"].to_numpy()
    return found
