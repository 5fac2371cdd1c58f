"""Tables and arrays of a stage, read with errors that name the file, and checks that several stages share."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from miner.errors import MinerError
from miner.source.keys import is_clean
from miner.verify.survey import Folder


def read_table(folder: Folder, name: str, columns: Sequence[str] = (), schema: pa.Schema | None = None) -> pa.Table:
    """A Parquet file with at least these columns.

    Raises:
        MinerError: it cannot be read, or lacks one.
    """
    try:
        table = pq.read_table(folder.fetch(name), schema=schema, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:160]
        raise MinerError(f"{folder.full_path(name)} is no readable Parquet file ({reason}).") from error
    if missing := [column for column in columns if column not in table.column_names]:
        raise MinerError(f"{folder.full_path(name)} has no column {missing[0]}.")
    return table


def read_array(folder: Folder, name: str) -> NDArray[np.floating]:
    """An array file, mapped from disk.

    Raises:
        MinerError: it cannot be read.
    """
    try:
        array: NDArray[np.floating] = np.load(folder.fetch(name), mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise MinerError(f"{folder.full_path(name)} is no readable array ({error}).") from error
    return array


def column(table: pa.Table, name: str, where: str) -> NDArray[np.generic]:
    """A column without nulls.

    Raises:
        MinerError: there is no such column, or it has nulls; the message begins with `where`.
    """
    if name not in table.column_names or table[name].null_count:
        raise MinerError(f"{where} has no column {name}, or gaps in it.")
    values: NDArray[np.generic] = table[name].to_numpy()
    return values


def check_count(where: str, what: str, found: int, expected: int) -> None:
    """Refuse another count than the manifest states.

    Raises:
        MinerError: the counts differ.
    """
    if found != expected:
        raise MinerError(f"{where} holds {found:,} {what}, where the manifest says {expected:,}.")


def check_keys(where: str, keys: Sequence[str]) -> None:
    """Keys are clean, and unique.

    Raises:
        MinerError: one is not.
    """
    if len(set(keys)) != len(keys):
        seen: set[str] = set()
        twice = next(key for key in keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise MinerError(f"{where}: the key {twice} occurs twice.")
    if (unclean := next((key for key in keys if not is_clean(key)), None)) is not None:
        raise MinerError(f"{where}: {unclean!r} is no key (at most 64 characters from A-Z a-z 0-9 _ -).")
