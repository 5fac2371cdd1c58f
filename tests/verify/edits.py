"""Edits of files that a person could make with care, and the check that `miner verify` finds them."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.engine.digest import file_record
from miner.engine.records import write_signed
from miner.engine.tar import write_tar
from miner.errors import MinerError
from miner.verify.run import verify


def resign(folder: Path) -> None:
    """Make the checksums agree with what is there, as someone would who edits with care."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {name: file_record(folder / name) for name in manifest["files"]}
    write_signed(folder / "manifest.json", manifest)


def rejects(path: Path, message: str) -> str:
    with pytest.raises(MinerError, match=message) as caught:
        verify(str(path))
    return str(caught.value)


def members_of(shard: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(shard) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]


def rewrite(shard: Path, members: list[tuple[str, bytes]]) -> None:
    stream = io.BytesIO()
    write_tar(stream, members)
    shard.write_bytes(stream.getvalue())


def exchange(members: list[tuple[str, bytes]], one: int, other: int) -> list[tuple[str, bytes]]:
    """The contents of two members change places."""
    changed = list(members)
    changed[one], changed[other] = (members[one][0], members[other][1]), (members[other][0], members[one][1])
    return changed


Edit = Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]


def with_json(number: int, **changes: object) -> Edit:
    def edit(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        name, content = members[number]
        changed = {**json.loads(content), **changes}
        return [*members[:number], (name, json.dumps(changed).encode()), *members[number + 1 :]]

    return edit


def rewrite_table(path: Path, change: Callable[[dict[str, list]], None]) -> None:
    table = pq.read_table(path)
    columns = table.to_pydict()
    change(columns)
    pq.write_table(pa.table(columns, schema=table.schema), path)


def swap_rows(columns: dict[str, list]) -> None:
    for values in columns.values():
        values[3], values[4] = values[4], values[3]


def turn(columns: dict[str, list]) -> None:
    columns["a"][2], columns["b"][2] = columns["b"][2], columns["a"][2]


def put(column: str, value: object) -> Callable[[dict[str, list]], None]:
    def change(columns: dict[str, list]) -> None:
        columns[column][1] = value

    return change
