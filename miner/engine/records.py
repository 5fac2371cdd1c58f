"""JSON records: read, signed, and as the result of a stage."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from miner.engine.atomic import json_bytes, write_json
from miner.engine.digest import file_record
from miner.engine.remote import AnyPath
from miner.errors import MinerError

Record = dict[str, Any]
_MOST_BYTES = 1 << 28
_MOST_VALUES = 10_000_000  # each takes about 100 bytes of memory, and two bytes of JSON are enough for it


@dataclass(frozen=True)
class Result:
    """The result of a stage, for programs and for people.

    Attributes:
        lines: the result for people, one fact a line.
        fresh: False if an earlier run had done everything.
        headline: the few (name, value) facts that sum up a whole recipe.
        measured: rates and memory of this run; they go to run.json, not to a manifest.
        rehearsal: True if the user asked to write nothing; such a run is not logged.
        path: the file that tells a later run that this is done.
        exit_code: of the command, where the answer itself is one.
        page: what a browser can show of the result.
        verdict: in one sentence, whether the result is good, as far as it is known.
        next_command: the command that follows, and what it does.
    """

    stage: str
    record: Record
    lines: list[str] = field(default_factory=list)
    fresh: bool = True
    headline: list[tuple[str, str]] = field(default_factory=list)
    measured: Record = field(default_factory=dict)
    rehearsal: bool = False
    path: AnyPath | None = None
    exit_code: int = 0
    page: Path | None = None
    verdict: str = ""
    next_command: str = ""

    @property
    def told(self) -> list[str]:
        """The lines, and the verdict."""
        return [*self.lines, f"{self.stage}: {self.verdict}"] if self.verdict else self.lines


def read_json(path: AnyPath) -> Record | None:
    """A JSON object from a file, or None if there is no such file.

    Raises:
        MinerError: the file is not a JSON object.
    """
    try:
        with path.open("rb") as stream:
            record = parse_json(stream.read(_MOST_BYTES + 1))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise MinerError(f"{path} cannot be read: {error.strerror}.") from error
    if not isinstance(record, dict):
        raise _damaged(path, "not a JSON object")
    return record


def parse_json(content: bytes) -> Any:
    """The value in a JSON file that others may have written.

    Raises:
        ValueError: it is no JSON; or it would take more memory, or is nested more deeply, than any record.
    """
    if len(content) > _MOST_BYTES or sum(map(content.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise ValueError("too large for a record")
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _damaged(path: AnyPath, reason: str) -> MinerError:
    return MinerError(f"{path} is damaged ({reason}). Delete this file and run its stage again with --force.")


def write_signed(path: AnyPath, record: Record) -> Record:
    """Write a record as JSON with `digest`, the sha256 of its JSON without that field; returns the record that was written."""
    written = signed(record)
    write_json(path, written)
    return json.loads(json.dumps(written))  # type: ignore[no-any-return]


def signed(record: Record) -> Record:
    """The record with `digest`, the sha256 of its JSON without that field."""
    plain = {name: value for name, value in record.items() if name != "digest"}
    return {**plain, "digest": hashlib.sha256(json_bytes(plain)).hexdigest()}


def is_signed(content: bytes) -> bool:
    """Whether the bytes of a JSON file are those that `write_signed` wrote."""
    try:
        record = parse_json(content)
        if not isinstance(record, dict) or json_bytes(record) != content:
            return False
    except (ValueError, RecursionError):
        return False
    digest = record.pop("digest", None)
    return bool(digest == hashlib.sha256(json_bytes(record)).hexdigest())


def same_file(path: Path, expected: Record | None) -> bool:
    """Whether a file exists and has the sha256 of a record."""
    return expected is not None and path.is_file() and file_record(path)["sha256"] == expected["sha256"]


def fingerprint(record: Any) -> str:
    """A short sha256 of any JSON value; the same value gives the same text."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]
