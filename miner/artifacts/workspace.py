"""The workspace: the folder of each stage, the lock, and run.json."""

import fcntl
import os
import shlex
import shutil
import sys
import time
from calendar import timegm
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from miner.engine import Record, Result, cannot_write, partial_path, read_json, take_lock, write_signed
from miner.errors import MinerError
from miner.machine.environment import environment

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
DEFAULT_WORKSPACE = Path("datasets_out/default")
DEFAULT_LEAKS = Path("datasets_out/leaks")
GIVEN = ("vectors.npy", "vectors_keys.parquet")  # vectors and keys that Python had in memory


_LOCKS = ".locks"  # below the workspace: a file for each folder that a command reads or writes
_LONGEST_LOCK, _LONGEST_COMMAND = 1000, 200


class _Below:
    """An attribute of a workspace: the path of this name below its root."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, workspace: "Workspace", owner: type) -> Path:
        return workspace.root / self.name


@dataclass(frozen=True)
class Workspace:
    """A folder with everything that the stages make of one source."""

    root: Path

    embeddings = _Below("embeddings")
    calibration = _Below("calibration.json")
    explored = _Below("explored.yaml")
    pairs = _Below("pairs")
    shards = _Below("shards")
    report = _Below("report")
    review = _Below("review")
    published = _Below("publish")
    graph = _Below("graph")

    @property
    def refined(self) -> "Workspace":
        """What `miner refine` writes: a workspace of its own."""
        return Workspace(self.root / "refined")

    @property
    def test(self) -> "Workspace":
        """Labelled test images, embedded as the others."""
        return Workspace(self.root / "test")

    def against(self, name: str) -> Path:
        """The folder of the pairs with another set."""
        return self.root / "against" / name

    def run(self, name: str) -> Path:
        """The folder of a training run."""
        return self.root / "runs" / name

    def runs(self) -> list[Path]:
        """Folders of all training runs, by name."""
        folder = self.root / "runs"
        return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def latest_run(self) -> Path | None:
        """The folder of the run that finished last."""
        finished = [folder for folder in self.runs() if (folder / "manifest.json").exists()]
        return max(finished, key=lambda folder: (folder / "manifest.json").stat().st_mtime_ns, default=None)

    @contextmanager
    def locked(self, writes: Sequence[str] = (), reads: Sequence[str] = ()) -> Iterator[None]:
        """Lock folders of the workspace for this process, or the whole workspace if no folder is named.

        Many commands may read a folder at the same time. No other command reads or writes a folder that one command writes.

        Raises:
            MinerError: another process has locked one of them, or the workspace cannot be written.
        """
        existed = self.root.exists()
        locks = [("", not writes), *((name, False) for name in reads), *((name, True) for name in writes)]
        try:
            with ExitStack() as stack:
                for name, alone in locks:
                    self._lock(stack, name, alone)
                yield
        finally:
            if not existed and [path.name for path in self.root.glob("*")] == [".lock"] and not self.working():
                shutil.rmtree(self.root, ignore_errors=True)  # a command that was refused leaves no folder behind

    def _lock(self, stack: ExitStack, folder: str, alone: bool) -> None:
        """Hold the lock of a folder, or of the whole workspace, until the stack ends."""
        path = self.root / _LOCKS / f"{folder}.lock" if folder else self.root / ".lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = stack.enter_context(path.open("a+b", buffering=0))
        except OSError as error:
            raise cannot_write(f"The workspace {self.root}", self.root, error, "Choose another with -w.") from error
        try:
            _take_now(handle, alone, self.root)
        except OSError as error:
            holders = " and ".join(self.working()) or "Another miner command"
            uses = f" and uses {folder}" if folder else ""
            raise MinerError(
                f"{holders} is working in {self.root}{uses}. Wait for it, or choose another workspace with -w."
            ) from error
        if not folder:
            stack.callback(self._remove_locks, handle)
        if alone:
            with suppress(OSError):  # on a full disk the lock holds without a name
                handle.truncate(0)
                handle.write(_this_command().encode(errors="backslashreplace"))
            stack.callback(handle.truncate, 0)

    def _remove_locks(self, handle: IO[bytes]) -> None:
        """Remove the files of folders if no other command works here: each one holds the lock of the workspace before theirs."""
        with suppress(OSError):
            take_lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, self.root)
            shutil.rmtree(self.root / _LOCKS, ignore_errors=True)

    def working(self) -> list[str]:
        """The commands that write folders of this workspace at this moment."""
        found = []
        for path in (self.root / ".lock", *sorted((self.root / _LOCKS).rglob("*.lock"))):
            with suppress(OSError), path.open("rb") as handle:
                try:
                    take_lock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB, self.root)
                except OSError:
                    found.append(handle.read(_LONGEST_LOCK).decode(errors="replace"))
        return [*dict.fromkeys(filter(None, found))]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let one process at a time write what commands write that run beside others: the log, and a report or a summary."""
        with (self.root / ".log.lock").open("w") as handle:
            take_lock(handle, fcntl.LOCK_EX, self.root)
            yield

    def log_stage(self, name: str, options: Record, result: Result, seconds: float) -> None:
        """Write a stage to run.json: options, result, time, versions and machine.

        A stage that was finished before is written only if the process that finished it was killed before it could do so.
        """
        finished_at = time.time()
        if not result.fresh and isinstance(result.path, Path):
            finished_at = result.path.stat().st_mtime
        path = self.root / "run.json"
        missing = result.fresh or not self._has_logged(name, result.record, finished_at)
        if not missing and not partial_path(path).exists():
            return
        with self.writing():
            if not missing:
                partial_path(path).unlink(missing_ok=True)
                return
            log = self._log()
            log["stages"][name] = {
                "options": options,
                "record": result.record,
                "measured": result.measured,
                "seconds": round(seconds, 3) if result.fresh else None,
                "finished_at": time.strftime(_TIME_FORMAT, time.gmtime(finished_at)),
                "environment": environment(),
            }
            write_signed(path, log)

    def _has_logged(self, name: str, record: Record, finished_at: float) -> bool:
        """Whether run.json has an entry of this result, or of a later one. An entry states whole seconds."""
        try:
            entry = self.logged()[name]
            if entry["record"] == record:
                return True
            is_later = timegm(time.strptime(entry["finished_at"], _TIME_FORMAT)) >= int(finished_at)
            return is_later and (self.root / "run.json").stat().st_mtime >= finished_at
        except (MinerError, LookupError, TypeError, ValueError):
            return False

    def logged(self) -> dict[str, Record]:
        """The entries of run.json, by stage."""
        stages: dict[str, Record] = (read_json(self.root / "run.json") or {}).get("stages", {})
        return stages

    def _log(self) -> Record:
        """The content of run.json. A damaged file is set aside, because no result depends on it."""
        path = self.root / "run.json"
        try:
            log = read_json(path) or {}
        except MinerError:
            path.replace(path.with_name("run.damaged.json"))
            log = {}
        return log if isinstance(log.get("stages"), dict) else {"stages": {}}


def _take_now(handle: IO[bytes], alone: bool, root: Path) -> None:
    """Take a lock now; a command that ends holds that of the workspace for a moment longer.

    Raises:
        OSError: another process has it.
    """
    for wait_s in (0.02, 0.1, None):
        try:
            return take_lock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB, root)
        except OSError:
            if wait_s is None:
                raise
            time.sleep(wait_s)


def _this_command() -> str:
    """The command of this process, for those who find the workspace locked."""
    command = " ".join(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]).split())
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"`{command[:_LONGEST_COMMAND]}` (process {os.getpid()}, since {since})"


def workspace_flag(workspace: Workspace) -> str:
    """The flag that a printed command needs to work in this workspace; empty for the default workspace."""
    return "" if workspace.root == DEFAULT_WORKSPACE else f" -w {shlex.quote(str(workspace.root))}"
