"""The pairs that a join found: in memory, and as files that only the join reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.parquet import count_rows, load_table, save_table

_ROWS_SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.int64())])
_STRIP_SCHEMA = pa.schema([*_ROWS_SCHEMA, ("similarity", pa.float64())])


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

    def select(self, chosen: NDArray[np.bool_] | Rows) -> "FoundPairs":
        """The pairs that a mask (m,) or an array of numbers chooses."""
        return FoundPairs(self.a[chosen], self.b[chosen], self.similarity[chosen])

    def in_both_orders(self) -> tuple["FoundPairs", Rows]:
        """Each pair as (a, b) and as (b, a), sorted, and the number that each of these 2 m rows has here, int64 (2 m,)."""
        a, b = np.concatenate([self.a, self.b]), np.concatenate([self.b, self.a])
        order = np.lexsort((b, a))
        numbers = order % max(len(self), 1)
        return FoundPairs(a[order], b[order], self.similarity[numbers]), numbers


def write_rows(path: Path, pairs: FoundPairs) -> None:
    """Write the row numbers of pairs, without their similarity."""
    save_table(pa.table({"a": pairs.a, "b": pairs.b}, schema=_ROWS_SCHEMA), path, "zstd")


def read_rows(path: Path) -> tuple[Rows, Rows]:
    """The columns a and b of any table of pairs."""
    table = load_table(path, ["a", "b"])
    return table["a"].to_numpy(), table["b"].to_numpy()


def write_strip(path: Path, pairs: FoundPairs) -> None:
    """Write the pairs of one strip, with the similarity in float64."""
    save_table(pa.table({"a": pairs.a, "b": pairs.b, "similarity": pairs.similarity}, schema=_STRIP_SCHEMA), path)


def read_strips(paths: Sequence[Path]) -> FoundPairs:
    """The pairs of all strips, in the order of the paths."""
    rows = [count_rows(path) for path in paths]
    ends = np.cumsum(rows)
    count = int(ends[-1]) if len(ends) else 0
    found = FoundPairs(np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.float64))
    for path, stop, length in zip(paths, ends, rows, strict=True):
        table = load_table(path, schema=_STRIP_SCHEMA)
        run = slice(stop - length, stop)
        found.a[run], found.b[run] = table["a"].to_numpy(), table["b"].to_numpy()
        found.similarity[run] = table["similarity"].to_numpy()
    return found
