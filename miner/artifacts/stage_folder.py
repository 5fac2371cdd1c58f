"""The life of a stage's folder: begun, continued, finished, or refused.

A stage owns one folder. The folder is *begun* when `request.json` states what was asked for. The folder is *finished* when
`manifest.json` repeats that request beside the results and the checksum of every file. A rerun with the same request continues
or returns at once; another request is refused, unless the user says `--force`.
"""

import json
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from miner import __version__
from miner.artifacts.artifact import Artifact
from miner.artifacts.differences import differences
from miner.artifacts.litter import is_litter
from miner.engine import (
    AnyPath,
    Record,
    RemotePath,
    file_record,
    partial_path,
    read_json,
    same_file,
    write_json,
    write_signed,
)
from miner.errors import MinerError

_PREVIOUS = "previous.json"
# Of `previous.json`: the row numbers of its pairs, and its neighbour lists.
KNOWN_PAIRS, KNOWN_LISTS = "previous.parquet", "previous.npy"
_Manifest = TypeVar("_Manifest", bound=Artifact)
_Folder = TypeVar("_Folder", bound=AnyPath)


class StageFolder(Generic[_Folder]):
    """One stage folder and the request that it answers.

    Files of others may lie in the folder: only what the stage wrote is removed. That is what its manifest lists, and files whose
    names fit its patterns: a name, or FOLDER/NAME, in which `*` and `[0-9]` stand for characters of either.

    Args:
        folder: the folder that the stage owns.
        request: everything that decides the bytes of the result: options and the fingerprint of the input. Options that
            only change the speed stay out of it.
        results: patterns of the files that stay.
        scratch: patterns of the files that the work needs. They go when the stage is done.
    """

    # Whether people keep files of their own there. If so, they are no obstacle, and a manifest alone says which results are ours.
    shared: ClassVar = False
    working: ClassVar[tuple[str, ...]] = ("request.json",)
    elsewhere: ClassVar = "another workspace with -w"

    def __init__(
        self, folder: _Folder, request: Record, results: Sequence[str] = (), scratch: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.request = json.loads(json.dumps(request))
        self._results = results
        self._scratch = scratch

    def finished(self) -> Record | None:
        """The manifest, if this request has been finished; else None. What a killed process left of the work is removed."""
        manifest = read_json(self.folder / "manifest.json")
        if manifest is None or manifest.get("request") != self.request:
            return None
        self.sweep()
        return manifest

    def begin(self, force: bool) -> None:
        """Make the folder ready. Afterwards it holds nothing of this stage but finished units of this request.

        Raises:
            MinerError: it holds the result of another request, and `force` is False.
        """
        if force:
            self.discard()
        else:
            self.refuse_another()
        write_json(self.folder / "request.json", self.request)

    def refuse_another(self) -> None:
        """Check that the folder is free for this request.

        Raises:
            MinerError: the folder holds the result of another request, or a part of it.
        """
        old = request_of(self.folder)
        names = self._own() if self.shared else {name for name in self._names() if not is_litter(name)}
        if old == self.request or names <= {*_fitting(names, ("request.json",))}:
            return
        if old is None:
            raise MinerError(
                f"{self.folder} holds files, but not what they were made for (no request.json or manifest.json). "
                f"Use --force, which replaces what miner writes there and keeps other files, or choose {self.elsewhere}."
            )
        raise MinerError(
            f"{self.folder} was made by another request: {differences(old, self.request)}. "
            f"Use --force to replace it, or choose {self.elsewhere}."
        )

    def conclude(self, record: Record, digests: Mapping[str, Record]) -> Record:
        """Write manifest.json with what the stage found and the `file_record` of each file; then the stage is done."""
        manifest = {"miner_version": __version__, "request": self.request, "files": dict(digests), **record}
        manifest = write_signed(self.folder / "manifest.json", manifest)
        self.sweep()
        return manifest

    def sweep(self) -> None:
        """Remove what only the work needed. A file that a record lists stays: older versions kept some."""
        left = set(_fitting(self._names(), (*self.working, *self._scratch)))
        self._remove(sorted(left - self._listed() if left else left), self._scratch)

    def discard(self) -> None:
        """Remove what the stage wrote. The records go first, so that a part of it is never taken for a finished unit."""
        own = self._own()
        first = [name for name in (*self.working, "manifest.json") if name in own]
        self._remove([*first, *sorted(own - set(first))], (*self._results, *self._scratch))

    def _names(self) -> list[str]:
        """All files in the folder."""
        if isinstance(self.folder, RemotePath):
            return self.folder.names()
        return [path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()]

    def _own(self) -> set[str]:
        """The files in the folder that the stage wrote."""
        names, listed = self._names(), self._listed()
        results = () if self.shared and listed else self._results
        patterns = ("manifest.json", *self.working, *results, *self._scratch)
        return listed.intersection(names).union(_fitting(names, patterns))

    def _listed(self) -> set[str]:
        """What the records in the folder list."""
        listed: set[str] = set()
        for name in ("manifest.json", "state.json", _PREVIOUS):
            with suppress(
                MinerError, KeyError, AttributeError
            ):  # a damaged record lists nothing, nor does one that others wrote
                record = read_json(self.folder / name) or {}
                listed |= record["files"].keys() if record.keys() & {"miner_version", "digest"} else set()
        return listed

    def _remove(self, names: Iterable[str], patterns: Sequence[str]) -> None:
        """Remove files, and the folders of these files and of these patterns that are empty then."""
        names = list(names)
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
        if isinstance(self.folder, Path):
            folders = {self.folder, *(self.folder / posixpath.dirname(name) for name in names)}
            below = {posixpath.dirname(pattern) for pattern in patterns} - {""}
            folders |= {path for pattern in below for path in self.folder.glob(pattern)}
            for folder in sorted(folders, reverse=True):
                with suppress(OSError):  # files of others are in it, or it is not there
                    folder.rmdir()


class Stage(StageFolder[Path]):
    """A stage whose folder is on this machine."""

    def finish(self, record: Record, files: Iterable[Path]) -> Record:
        """Write manifest.json with what the stage found and the checksum of each file; then the stage is done."""
        return self.conclude(record, {str(path.relative_to(self.folder)): file_record(path) for path in sorted(files)})


class GrowingStage(Stage):
    """A stage that continues a finished result when its input has grown.

    The old manifest is kept as `previous.json` while the stage works, so that a killed run can continue.
    """

    working: ClassVar = ("request.json", _PREVIOUS, KNOWN_PAIRS, KNOWN_LISTS)

    @property
    def growing(self) -> bool:
        """Whether a killed run has begun to continue a result for this request."""
        return (self.folder / _PREVIOUS).exists() and request_of(self.folder) == self.request

    def earlier(self, manifest: type[_Manifest]) -> _Manifest | None:
        """The manifest of the result that may be continued; None if there is none.

        Raises:
            MinerError: it is damaged.
        """
        return manifest.at(self.folder / "manifest.json") or manifest.at(self.folder / _PREVIOUS)

    def begin_growth(self, earlier: Artifact, remove_new: Callable[[], None] | None = None) -> None:
        """Make the folder ready to continue an earlier result; `remove_new` removes results that another request has added."""
        if read_json(self.folder / "request.json") != self.request:
            self._remove(_fitting(self._names(), self._scratch), self._scratch)
            if remove_new is not None:
                remove_new()
        write_json(self.folder / _PREVIOUS, earlier.record)
        write_json(self.folder / "request.json", self.request)
        (self.folder / "manifest.json").unlink(missing_ok=True)

    def give_up_growth(self, earlier: Artifact) -> None:
        """Go back to the earlier result, unless a growth that was killed has written files of it anew."""
        if all(same_file(self.folder / name, record) for name, record in earlier.files.items()):
            write_json(self.folder / "manifest.json", earlier.record)
            self.sweep()


def _fitting(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The names that fit a pattern, and the names of their unfinished files."""
    wanted = [posixpath.split(form) for pattern in patterns for form in (pattern, str(partial_path(Path(pattern))))]
    split = {name: posixpath.split(name) for name in names}
    return [
        name
        for name, (folder, file) in split.items()
        if any(fnmatchcase(folder, below) and fnmatchcase(file, form) for below, form in wanted)
    ]


def request_of(folder: AnyPath) -> Record | None:
    """What the stage in a folder was asked for, finished or not; None if there is no stage."""
    manifest = read_json(folder / "manifest.json")
    return read_json(folder / "request.json") if manifest is None else manifest.get("request")


def finished_file(path: Path, request: Record, force: bool) -> Record | None:
    """The record in a file if it was made by this request; None if there is work to do.

    This is the stage of a result that is one JSON file with its `request`.

    Raises:
        MinerError: the file was made by another request, and `force` is False.
    """
    record = read_json(path)
    wanted = json.loads(json.dumps(request))
    if record is None or force:
        return None
    if record.get("request") != wanted:
        raise MinerError(
            f"{path} was made by another request: {differences(record.get('request') or {}, wanted)}. "
            "Use --force to replace it, or choose another workspace with -w."
        )
    return record
