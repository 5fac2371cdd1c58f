"""The samples of a shard, read member by member, so that an error names the byte."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from miner.errors import MinerError
from miner.source.base import check_size
from miner.source.webdataset.tar_members import DamagedTarError, tar_members

_HEADER_BYTES = 512


@dataclass
class Sample:
    """One sample of a shard.

    Attributes:
        where: shard, key and offset, for messages.
        key: of the sample.
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
    """The samples of a shard in order; the members of a sample stand side by side.

    Args:
        path: of the shard.
        where: path or URL of the shard, for messages.
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
