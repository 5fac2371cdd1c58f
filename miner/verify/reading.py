"""Tables, arrays and samples of a stage, read with errors that name file and byte, and checks that several stages share."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from miner.engine import parse_json
from miner.errors import MinerError
from miner.machine.memory import free_bytes
from miner.source.base import check_size
from miner.source.keys import is_clean
from miner.source.parquet.pages import stated_by_pages
from miner.source.webdataset.tar_members import DamagedTarError, tar_members
from miner.verify.survey import Folder

_HEADER_BYTES = 512


def read_table(folder: Folder, name: str, columns: Sequence[str] = (), schema: pa.Schema | None = None) -> pa.Table:
    """A Parquet file with at least these columns.

    Raises:
        MinerError: it cannot be read, or lacks one.
    """
    try:
        table = _bounded_table(folder.fetch(name))
        if schema is not None:
            nulls = {field.name: pa.nulls(len(table), field.type) for field in schema}
            known = {name: table[name] for name in table.column_names if name in nulls}
            table = pa.table({**nulls, **known}).cast(schema)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:160]
        raise MinerError(f"{folder.full_path(name)} is no readable Parquet file ({reason}).") from error
    if missing := [column for column in columns if column not in table.column_names]:
        raise MinerError(f"{folder.full_path(name)} has no column {missing[0]}.")
    return table


def _bounded_table(path: Path) -> pa.Table:
    """A Parquet file whose repeated values are short enough to stand in every row.

    Raises:
        OSError: the table would take more than half of the free memory.
    """
    room = free_bytes() // 2
    with path.open("rb") as stream:
        footer = pq.read_metadata(stream)
        names = [footer.schema.column(at).path for at in range(footer.num_columns)]
        groups = [footer.row_group(at) for at in range(footer.num_row_groups)]
        chunks = [group.column(at) for group in groups for at in range(footer.num_columns)]
        stated = [stated_by_pages(stream, chunk) for chunk in chunks if chunk.num_values]
        size = sum(size_bytes + 16 * values for size_bytes, values in stated)
        if not 0 <= size <= room:
            raise OSError(f"it unpacks to {size:,} bytes, more than the free memory allows")
        table = pq.ParquetFile(stream, read_dictionary=names).read()
    for number, name in enumerate(table.column_names):
        kind = table.schema.field(number).type
        if pa.types.is_dictionary(kind):
            parts = table.column(number).chunks
            lengths = [len(part) * (pc.max(pc.binary_length(part.dictionary)).as_py() or 0) for part in parts]
            if sum(lengths) > room:
                raise OSError(f"its column {name} unpacks to more than the free memory allows")
            table = table.set_column(number, name, table.column(number).cast(kind.value_type))
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
            record = parse_json(self.fields.pop("json")[0])
        except (KeyError, ValueError) as error:
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
                check_size(member.size_bytes + sum(len(data) for data, _ in sample.fields.values()))
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
