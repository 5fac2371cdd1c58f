"""Columns of vectors in Parquet files and in Arrow files of the `datasets` library, read by blocks of rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from miner.errors import MinerError, UsageError

_BATCH_ROWS = 1024
_USUAL = ("embedding", "embeddings", "vector", "vectors", "emb", "image_embedding", "img_emb")


class ParquetRows:
    """A Parquet file. Batches follow each other, so that no row group is held as a whole."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path.open("rb"))
        self.schema, self.rows = self._file.schema_arrow, self._file.metadata.num_rows

    def batches(self, column: str, start: int) -> Iterator[pa.Array]:
        """A column from a row on."""
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        ends = np.cumsum(sizes)
        first = int(np.searchsorted(ends, start, side="right"))
        skipped = start - int(ends[first] - sizes[first]) if first < len(sizes) else 0
        groups = range(first, len(sizes))
        for batch in self._file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=[column], use_threads=False):
            part = batch.column(0)
            yield part.slice(skipped)
            skipped = max(skipped - len(part), 0)

    def table(self, columns: Sequence[str]) -> pa.Table:
        return self._file.read([*columns])


class ArrowRows:
    """An Arrow file, as a stream or with an index, mapped into memory."""

    def __init__(self, path: Path) -> None:
        mapped = pa.memory_map(str(path))
        try:
            self._table = pa.ipc.open_stream(mapped).read_all()
        except pa.ArrowInvalid:
            self._table = pa.ipc.open_file(mapped).read_all()
        self.schema, self.rows = self._table.schema, len(self._table)

    def batches(self, column: str, start: int) -> Iterator[pa.Array]:
        """A column from a row on."""
        for chunk in self._table[column].slice(start).chunks:
            yield from (chunk.slice(first, _BATCH_ROWS) for first in range(0, len(chunk), _BATCH_ROWS))

    def table(self, columns: Sequence[str]) -> pa.Table:
        return self._table.select([*columns])


class ColumnFile:
    """A column of lists, as vectors. A row without a list is NaN.

    Args:
        name: of the column; None for the only one that holds vectors.
    Raises:
        UsageError: there is no such column, or there are several.
    """

    def __init__(self, path: Path, name: str | None) -> None:
        self.path = path
        self.file: ParquetRows | ArrowRows = ParquetRows(path) if path.suffix == ".parquet" else ArrowRows(path)
        self.rows = self.file.rows
        self.column = _chosen(path, self.file.schema, name)
        kind = self.file.schema.field(self.column).type
        self.dtype = np.dtype(kind.value_type.to_pandas_dtype())
        self._at, self._held = 0, pa.array([], kind)
        self._batches = self.file.batches(self.column, 0)
        self.dim = self._first_length()

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        if start != self._at:
            self._held, self._batches = self._held.slice(0, 0), self.file.batches(self.column, start)
        while len(self._held) < stop - start:
            self._held = pa.concat_arrays([self._held, next(self._batches)])
        wanted, self._held, self._at = self._held.slice(0, stop - start), self._held.slice(stop - start), stop
        return self._stacked(wanted, start)

    def _first_length(self) -> int:
        for batch in self.file.batches(self.column, 0):
            if length := next((len(value) for value in batch if value.is_valid), 0):
                return length
        raise MinerError(f"{self.path} has no vector in the column {self.column}.")

    def _stacked(self, lists: pa.Array, start: int) -> NDArray[np.floating]:
        there = lists.is_valid().to_numpy(zero_copy_only=False)
        lengths = np.asarray(pc.list_value_length(lists).fill_null(self.dim))
        if len(ragged := np.flatnonzero(lengths != self.dim)):
            raise MinerError(
                f"{self.path}: row {start + ragged[0]} has {lengths[ragged[0]]} numbers in the column {self.column}, and the "
                f"first row has {self.dim}. All vectors must be of one length."
            )
        numbers = lists.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, self.dim)
        if there.all():
            return np.asarray(numbers, self.dtype)
        rows = np.full((len(lists), self.dim), np.nan, self.dtype)
        rows[there] = numbers
        return rows


def _chosen(path: Path, schema: pa.Schema, name: str | None) -> str:
    fitting: list[str] = [field.name for field in schema if _holds_vectors(field.type)]
    usual = [found for found in fitting if found in _USUAL]
    choice = next((names[0] for names in (usual, fitting) if len(names) == 1), None) if name is None else name
    if choice in fitting:
        return str(choice)
    listed = ", ".join(f"{field.name}: {field.type}" for field in schema)[:400]
    if name is not None:
        raise UsageError(f"{path} has no column of vectors called {name!r} (--vector-column). It has {listed}.")
    if not fitting:
        raise UsageError(f"{path} has no column of vectors, which are lists of floating numbers. It has {listed}.")
    raise UsageError(
        f"{path} has several columns of vectors: {', '.join(fitting)}. Name one with --vector-column {fitting[0]}."
    )


def _holds_vectors(kind: Any) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list and pa.types.is_floating(kind.value_type))
