"""Parquet files of a workspace: written, read, or said in words to be missing or damaged.

Files are opened here, because pyarrow opens no path that is not UTF-8.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from miner.errors import MinerError


def load_table(path: Path, columns: Sequence[str] | None = None, schema: pa.Schema | None = None) -> pa.Table:
    """A Parquet file, or some columns of it.

    Raises:
        OSError, pyarrow.ArrowException: it is missing or damaged, or lacks a column.
    """
    with path.open("rb") as stream:
        return pq.read_table(stream, columns=None if columns is None else [*columns], schema=schema)


def save_table(table: pa.Table, path: Path, compression: str = "snappy") -> None:
    """Write a Parquet file."""
    with path.open("wb") as stream:
        pq.write_table(table, stream, compression=compression)


def count_rows(path: Path) -> int:
    """The number of rows of a Parquet file."""
    with path.open("rb") as stream:
        return int(pq.read_metadata(stream).num_rows)


def read_columns(path: Path, columns: Sequence[str], made_by: str, schema: pa.Schema | None = None) -> pa.Table:
    """Columns of a Parquet file, in this order; cast to the types of `schema`, if there is one.

    Args:
        made_by: the command that makes the file; the error message names it.
    Raises:
        MinerError: the file is missing or damaged, lacks a column, or has one of another type.
    """
    try:
        table = load_table(path, columns).select([*columns])
        return table if schema is None else table.cast(schema)
    except (OSError, KeyError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise MinerError(f"{path} is missing or damaged ({reason}). Run `{made_by} --force` again.") from error
