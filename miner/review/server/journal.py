"""The file that decisions are appended to. What `append` has returned for is on the disk, whatever happens then."""

import fcntl
import json
import os
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from miner.artifacts.decisions import Decision, read_decisions
from miner.engine.atomic import explain_write_error
from miner.errors import MinerError


class Journal:
    """`decisions.jsonl`, held open by one server at a time; others may read it.

    Attributes:
        decisions: those that were there when it was opened.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file, and mend its end.

        Raises:
            MinerError: another server holds it, it cannot be written, or a line of it is no decision.
        """
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise MinerError(f"{path} cannot be written: {error.strerror}. Decisions would be lost.") from error
        try:
            self._hold()
            self._mend()
            _sync_folder(path.parent)
            self.decisions = read_decisions(path)
        except BaseException:
            os.close(self._file)
            raise

    def append(self, decision: Decision) -> None:
        """Write one line and wait until the disk has it. May be called from several threads.

        Raises:
            MinerError: it could not be written; the file ends as it did before.
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

    def _hold(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise MinerError(
                f"Another `miner review` is writing {self.path}. Use its page; several people can work there at once."
            ) from error

    def _mend(self) -> None:
        """End a last line that has no newline: kept if it is whole, else cut. A reviewer was never told that it is safe."""
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
    """Write everything: on a disk that is nearly full, one call may write a part."""
    while data:
        data = data[os.write(file, data) :]


def _sync_folder(path: Path) -> None:
    """Make the file's own name durable."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
