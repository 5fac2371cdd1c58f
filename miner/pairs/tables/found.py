"""The pairs that a join found: in memory, and as files that only the join reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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
        evidence: further columns of the table by name, (m,) each. A name that ends in _a or _b is about one image of the pair.
    """

    a: Rows
    b: Rows
    similarity: NDArray[np.float64]
    evidence: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.a)

    def numbers(self, images: int) -> Rows:
        """A number for each pair, in the order of (a, b), int64 (m,)."""
        return self.a * images + self.b

    def select(self, chosen: NDArray[np.bool_] | Rows) -> "FoundPairs":
        """The pairs that a mask (m,) or an array of numbers chooses."""
        evidence = {name: values[chosen] for name, values in self.evidence.items()}
        return FoundPairs(self.a[chosen], self.b[chosen], self.similarity[chosen], evidence)

    def with_evidence(self, **columns: NDArray[Any]) -> "FoundPairs":
        """The same pairs with further columns, (m,) each."""
        return replace(self, evidence={**self.evidence, **columns})

    def in_both_orders(self) -> "FoundPairs":
        """Each pair as (a, b) and as (b, a), sorted."""
        a, b = np.concatenate([self.a, self.b]), np.concatenate([self.b, self.a])
        order = np.lexsort((b, a))
        numbers = order % max(len(self), 1)
        evidence = {
            name: np.concatenate([values, self.evidence[_of_the_other_image(name)]])[order]
            for name, values in self.evidence.items()
        }
        return FoundPairs(a[order], b[order], self.similarity[numbers], evidence)


def _of_the_other_image(name: str) -> str:
    ends = {"_a": "_b", "_b": "_a"}
    return name[:-2] + ends.get(name[-2:], name[-2:])


def put_together(parts: Sequence[FoundPairs]) -> FoundPairs:
    """The pairs of all parts, in their order, with the evidence that all of them have."""
    names = set.intersection(*(set(part.evidence) for part in parts))
    a, b, similarity = (
        np.concatenate(column) for column in zip(*((part.a, part.b, part.similarity) for part in parts), strict=True)
    )
    evidence = {
        name: np.concatenate([part.evidence[name] for part in parts]) for name in parts[0].evidence if name in names
    }
    return FoundPairs(a, b, similarity, evidence)


def write_rows(path: Path, a: Rows, b: Rows) -> None:
    """Write the row numbers of pairs."""
    save_table(pa.table({"a": a, "b": b}, schema=_ROWS_SCHEMA), path, "zstd")


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
