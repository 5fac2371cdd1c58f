"""Parquet files of a workspace: read, or said in words to be missing or damaged."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from miner.errors import MinerError


def read_columns(path: Path, columns: Sequence[str], made_by: str, schema: pa.Schema | None = None) -> pa.Table:
    """Columns of a Parquet file, in this order; cast to the types of `schema`, if there is one.

    Args:
        made_by: the command that makes the file; the error message names it.
    Raises:
        MinerError: the file is missing or damaged, lacks a column, or has one of another type.
    """
    try:
        table = pq.read_table(path, columns=[*columns], partitioning=None).select([*columns])
        return table if schema is None else table.cast(schema)
    except (OSError, KeyError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise MinerError(f"{path} is missing or damaged ({reason}). Run `{made_by} --force` again.") from error
