"""The file of decisions while a server runs. When `append` returns, the decision is on the disk."""

import fcntl
import json
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from miner.artifacts.decisions import Decision, read_decisions
from miner.engine import cannot_write, explain_write_error, sync, take_lock
from miner.errors import MinerError


class Journal:
    """`decisions.jsonl`, locked by one server at a time; other processes may read it.

    Attributes:
        decisions: decisions that the file held when it was opened.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file, and repair a half-written last line.

        Raises:
            MinerError: another server has locked the file, it cannot be written, or a line of it is no decision.
        """
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise cannot_write(str(path), path, error, "Decisions would be lost.") from error
        try:
            self._lock_file()
            with suppress(PermissionError):  # an earlier version let others read it; another user may own it
                os.fchmod(self._file, 0o600)
            self._repair_end()
            sync(path.parent)
            self.decisions = read_decisions(path)
        except BaseException:
            os.close(self._file)
            raise

    def append(self, decision: Decision) -> None:
        """Write one line, and wait until it is on the disk (fsync). Several threads may call this.

        Raises:
            MinerError: the line could not be written; the file is then as before.
        """
        line = decision.line().encode()
        with self._lock:
            before = os.fstat(self._file).st_size
            try:
                _write_all(self._file, line)
                os.fsync(self._file)
            except OSError as error:
                os.ftruncate(self._file, before)
                explained = explain_write_error(error, self.path)
                if isinstance(explained, MinerError):
                    raise explained from error
                raise MinerError(f"{self.path} could not be written: {error.strerror}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def _lock_file(self) -> None:
        try:
            take_lock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, self.path.parent)
        except OSError as error:
            raise MinerError(
                f"Another `miner review` is writing {self.path}. Use its page: several people can review there at once."
            ) from error

    def _repair_end(self) -> None:
        """Add the newline to a whole last line, or cut a half-written one, which no reviewer was told is saved."""
        content = self.path.read_bytes()
        rest = content[content.rfind(b"\n") + 1 :]
        if not rest:
            return
        if _is_whole(rest):
            _write_all(self._file, b"\n")
        else:
            os.ftruncate(self._file, len(content) - len(rest))
            print(f"review: cut off a half-written last line of {self.path}", file=sys.stderr)
        os.fsync(self._file)


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _write_all(file: int, data: bytes) -> None:
    """Write all bytes: on a disk that is nearly full, one call may write only a part."""
    while data:
        data = data[os.write(file, data) :]
