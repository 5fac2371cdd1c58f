"""The workspace: every path that a stage reads or writes, and the record of what made it.

A stage owns one folder. It is *begun* when `request.json` states what was asked for, and *finished* when `manifest.json`
repeats that request beside the results and the checksum of every file. A rerun with the same request continues or returns
at once; another request is refused, unless the user says `--force`.
"""

import fcntl
import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from miner import __version__
from miner.engine import json_bytes, write_json
from miner.engine.digest import digest_file
from miner.errors import MinerError

DEFAULT_WORKSPACE = Path("datasets_out/default")
_STAGE_COMMANDS = {"embeddings": "miner embed SOURCE", "pairs": "miner pairs", "shards": "miner export"}

Record = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What a stage says when it ends.

    Attributes:
        stage: its name.
        record: the result, ready for JSON.
        lines: the same for people, one fact a line.
        fresh: False when everything had been done before.
        headline: the few (name, value) facts that a whole run is summed up by.
        measured: rates and memory of this very run; they go to run.json, not to a manifest.
        rehearsal: True when nothing was written, as asked; such a run is not logged.
    """

    stage: str
    record: Record
    lines: list[str] = field(default_factory=list)
    fresh: bool = True
    headline: list[tuple[str, str]] = field(default_factory=list)
    measured: Record = field(default_factory=dict)
    rehearsal: bool = False


@dataclass(frozen=True)
class Workspace:
    """One folder with everything that the pipeline makes of one source."""

    root: Path

    @property
    def embeddings(self) -> Path:
        return self.root / "embeddings"

    @property
    def calibration(self) -> Path:
        return self.root / "calibration.json"

    @property
    def pairs(self) -> Path:
        return self.root / "pairs"

    @property
    def shards(self) -> Path:
        return self.root / "shards"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def review(self) -> Path:
        return self.root / "review"

    @property
    def published(self) -> Path:
        return self.root / "publish"

    def run(self, name: str) -> Path:
        """The folder of a training run."""
        return self.root / "runs" / name

    def runs(self) -> list[Path]:
        """Folders of all training runs, by name."""
        folder = self.root / "runs"
        return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def manifest(self, folder: Path) -> Record:
        """The manifest of a finished stage.

        Raises:
            MinerError: the stage has not been run, has not finished, or its manifest is damaged.
        """
        record = read_json(folder / "manifest.json")
        if record is not None and not (
            isinstance(record.get("files"), dict) and isinstance(record.get("request"), dict)
        ):
            raise MinerError(f"{folder / 'manifest.json'} is damaged. Delete it and run its stage again with --force.")
        if record is None:
            command = _STAGE_COMMANDS.get(folder.name, "miner train")
            state = "has not finished" if (folder / "request.json").exists() else "is missing"
            raise MinerError(f"{folder} {state}. Run `{command}` first (workspace {self.root}).")
        return record

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace for this process.

        Raises:
            MinerError: another process holds it.
        """
        existed = self.root.exists()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = (self.root / ".lock").open("w")
        except OSError as error:
            raise MinerError(
                f"The workspace {self.root} cannot be written: {error.strerror}. Choose another with -w."
            ) from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise MinerError(
                    f"Another miner command is working in {self.root}. Wait for it, or choose another workspace with -w."
                ) from error
            try:
                yield
            finally:
                if not existed and [path.name for path in self.root.iterdir()] == [".lock"]:
                    shutil.rmtree(self.root)  # a command that was refused leaves no folder behind

    def log_stage(self, name: str, options: Record, result: Result, seconds: float) -> None:
        """Add one stage to run.json: options, result, time, versions and machine."""
        entry = {
            "options": options,
            "record": result.record,
            "measured": result.measured,
            "seconds": round(seconds, 3),
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "environment": environment(),
        }
        with (self.root / ".log.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            log = self._log()
            log["stages"][name] = entry
            write_signed(self.root / "run.json", log)

    def _log(self) -> Record:
        """run.json; a damaged one is set aside, because no result depends on it."""
        path = self.root / "run.json"
        try:
            log = read_json(path) or {}
        except MinerError:
            path.replace(path.with_name("run.damaged.json"))
            log = {}
        return log if isinstance(log.get("stages"), dict) else {"stages": {}}


class Stage:
    """The life of one stage folder: begin, resume, finish, or refuse.

    Args:
        folder: the folder that the stage owns.
        request: everything that decides the bytes of the result: options and the fingerprint of the input. Options that
            only change the speed stay out of it.
    """

    def __init__(self, folder: Path, request: Record) -> None:
        self.folder = folder
        self.request = json.loads(json.dumps(request))

    def finished(self) -> Record | None:
        """The manifest, if this very request has been finished."""
        manifest = read_json(self.folder / "manifest.json")
        return manifest if manifest is not None and manifest.get("request") == self.request else None

    def begin(self, force: bool) -> None:
        """Make the folder ready: empty, or holding finished units of the same request.

        Raises:
            MinerError: it holds the result of another request, and `force` is False.
        """
        if force:
            self.discard()
        else:
            self.refuse_another()
        write_json(self.folder / "request.json", self.request)

    def refuse_another(self) -> None:
        """Pass if the folder is free for this request.

        Raises:
            MinerError: it holds the result of another one, or part of it.
        """
        manifest = read_json(self.folder / "manifest.json")
        old = read_json(self.folder / "request.json") if manifest is None else manifest.get("request")
        if old is None and self._holds_work():
            raise MinerError(
                f"{self.folder} holds files, but not what they were made for (no request.json or manifest.json). "
                "Use --force to replace them, or choose another workspace with -w."
            )
        if old is not None and old != self.request and self._holds_work():
            raise MinerError(
                f"{self.folder} was made by another request: {_differences(old, self.request)}. "
                "Use --force to replace it, or choose another workspace with -w."
            )

    def _holds_work(self) -> bool:
        return any(path.is_file() and path.name != "request.json" for path in self.folder.rglob("*"))

    def finish(self, record: Record, files: Iterable[Path], known: Mapping[str, Record] | None = None) -> Record:
        """Write manifest.json with the record and the checksum of each file. The stage is done from here on.

        Args:
            record: what the stage found.
            files: all files that it made, in its folder.
            known: by name, records of files that were digested while they were written.
        """
        names = {str(path.relative_to(self.folder)): path for path in sorted(files)}
        checksums = {name: (known or {}).get(name) or file_record(path) for name, path in names.items()}
        manifest = {"miner_version": __version__, "request": self.request, "files": checksums, **record}
        manifest = write_signed(self.folder / "manifest.json", manifest)
        (self.folder / "request.json").unlink(missing_ok=True)
        return manifest

    def discard(self) -> None:
        """Remove the folder, its manifest first."""
        (self.folder / "manifest.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def workspace_flag(workspace: Workspace) -> str:
    """What a command that is printed for copying needs to work in this workspace."""
    return "" if workspace.root == DEFAULT_WORKSPACE else f" -w {shlex.quote(str(workspace.root))}"


def finished_file(path: Path, request: Record, force: bool) -> Record | None:
    """The record in `path` if it answers this very request, None if there is work to do.

    For stages whose whole result is one JSON file that holds its `request`.

    Raises:
        MinerError: the file answers another request, and `force` is False.
    """
    record = read_json(path)
    wanted = json.loads(json.dumps(request))
    if record is None or force:
        return None
    if record.get("request") != wanted:
        raise MinerError(
            f"{path} was made by another request: {_differences(record.get('request') or {}, wanted)}. "
            "Use --force to replace it, or choose another workspace with -w."
        )
    return record


def read_json(path: Path) -> Record | None:
    """A JSON object from a file, or None when there is no such file.

    Raises:
        MinerError: the file is not a JSON object.
    """
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (ValueError, UnicodeDecodeError) as error:
        raise MinerError(
            f"{path} is damaged ({error}). Delete this file and run its stage again with --force."
        ) from error
    except OSError as error:
        raise MinerError(f"{path} cannot be read: {error.strerror}.") from error
    if not isinstance(record, dict):
        raise MinerError(
            f"{path} is damaged (not a JSON object). Delete this file and run its stage again with --force."
        )
    return record


def write_signed(path: Path, record: Record) -> Record:
    """Write a record as JSON with `digest`, the sha256 of its JSON without that field; returns it as it was written."""
    written = signed(record)
    write_json(path, written)
    return json.loads(json.dumps(written))  # type: ignore[no-any-return]


def signed(record: Record) -> Record:
    """The record with its `digest`."""
    plain = {name: value for name, value in record.items() if name != "digest"}
    return {**plain, "digest": hashlib.sha256(json_bytes(plain)).hexdigest()}


def is_signed(content: bytes) -> bool:
    """Whether the bytes of a JSON file are those that `write_signed` wrote."""
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        return False
    if not isinstance(record, dict) or json_bytes(record) != content:
        return False
    digest = record.pop("digest", None)
    return bool(digest == hashlib.sha256(json_bytes(record)).hexdigest())


def file_record(path: Path) -> Record:
    """Size in bytes, sha256, and the blocks that tell where a damaged copy differs, of a file."""
    return digest_file(path)


def same_file(path: Path, expected: Record | None) -> bool:
    """Whether a file has the checksum of a record."""
    return expected is not None and path.is_file() and file_record(path)["sha256"] == expected["sha256"]


def fingerprint(record: Any) -> str:
    """A short sha256 of any JSON value; the same value gives the same text."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


def environment() -> Record:
    """Versions, commit and hardware, without importing a heavy package."""
    packages = ("torch", "torchvision", "timm", "faiss-gpu", "faiss-cpu", "numpy", "pyarrow", "pillow")
    return {
        "miner": __version__,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": {name: version for name in packages if (version := _package_version(name))},
        "platform": platform.platform(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
    }


def processor_name() -> str:
    """The processor as the operating system names it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _package_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of this package's own checkout, if it runs from one."""
    checkout = Path(__file__).parents[1]
    if not (checkout / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:  # no git here
        return None
    return answer.stdout.strip() or None


def _differences(old: Record, new: Record) -> str:
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return ", ".join(f"{name} was {old.get(name)!r} and is now {new.get(name)!r}" for name in names)
