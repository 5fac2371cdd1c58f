"""Tables, arrays and samples of a stage, read with errors that name file and byte, and checks that several stages share."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.parquet import load_table
from miner.errors import MinerError
from miner.source.base import check_size
from miner.source.keys import is_clean
from miner.source.webdataset.tar_members import DamagedTarError, tar_members
from miner.verify.survey import Folder

_HEADER_BYTES = 512


def read_table(folder: Folder, name: str, columns: Sequence[str] = (), schema: pa.Schema | None = None) -> pa.Table:
    """A Parquet file with at least these columns.

    Raises:
        MinerError: it cannot be read, or lacks one.
    """
    try:
        table = load_table(folder.fetch(name), schema=schema)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:160]
        raise MinerError(f"{folder.full_path(name)} is no readable Parquet file ({reason}).") from error
    if missing := [column for column in columns if column not in table.column_names]:
        raise MinerError(f"{folder.full_path(name)} has no column {missing[0]}.")
    return table


def read_array(folder: Folder, name: str) -> NDArray[np.floating]:
    """An array file, mapped from disk."""
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


@dataclass
class Sample:
    """One sample of a shard.

    Attributes:
        where: shard, key and offset, for messages.
        fields: content, and its offset in the shard in bytes, by field name.
    """

    where: str
    key: str
    fields: dict[str, tuple[bytes, int]]

    def take_record(self) -> dict[str, Any]:
        """Remove the JSON from the fields, and return it.

        Raises:
            MinerError: there is no JSON object.
        """
        try:
            record = json.loads(self.fields.pop("json")[0])
        except (KeyError, ValueError, RecursionError) as error:
            raise MinerError(f"{self.where}: it has no readable JSON.") from error
        if not isinstance(record, dict):
            raise MinerError(f"{self.where}: its JSON is no object.")
        return record


def read_samples(path: Path, where: str) -> Iterator[Sample]:
    """The samples of a shard in order, whose path or URL for messages is `where`; a sample's members stand side by side.

    Raises:
        MinerError: it is no readable tar, or a field occurs twice.
    """
    sample: Sample | None = None
    try:
        with path.open("rb") as stream:
            for member in tar_members(stream):
                key, _, field = member.name.partition(".")
                if sample is None or sample.key != key:
                    if sample is not None:
                        yield sample
                    sample = Sample(f"{where}, sample {key} at byte {member.offset - _HEADER_BYTES:,}", key, {})
                if field in sample.fields:
                    raise MinerError(f"{sample.where}: the field {field} occurs twice.")
                check_size(member.size_bytes)
                sample.fields[field] = (os.pread(stream.fileno(), member.size_bytes, member.offset), member.offset)
    except (DamagedTarError, OSError) as error:
        raise MinerError(f"{where} is no readable tar: {error}.") from error
    if sample is not None:
        yield sample


def check_count(where: str, what: str, found: int, expected: int) -> None:
    """Refuse another count than the manifest states."""
    if found != expected:
        raise MinerError(f"{where} holds {found:,} {what}, where the manifest says {expected:,}.")


def check_keys(where: str, keys: Sequence[str]) -> None:
    """Refuse keys that are not clean, or not unique."""
    if len(set(keys)) != len(keys):
        seen: set[str] = set()
        twice = next(key for key in keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise MinerError(f"{where}: the key {twice} occurs twice.")
    if (unclean := next((key for key in keys if not is_clean(key)), None)) is not None:
        raise MinerError(f"{where}: {unclean!r} is no key (at most 64 characters from A-Z a-z 0-9 _ -).")
