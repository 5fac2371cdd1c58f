"""The life of a stage's folder: begun, continued, finished, or refused.

A stage owns one folder. The folder is *begun* when `request.json` states what was asked for. The folder is *finished* when
`manifest.json` repeats that request beside the results and the checksum of every file. A rerun with the same request continues
or returns at once; another request is refused, unless the user says `--force`.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from miner import __version__
from miner.artifacts.artifact import Artifact
from miner.artifacts.differences import differences
from miner.artifacts.litter import is_litter
from miner.engine import AnyPath, Record, file_record, read_json, write_json, write_signed
from miner.errors import MinerError

_PREVIOUS = "previous.json"
_Manifest = TypeVar("_Manifest", bound=Artifact)


class Stage:
    """One stage folder and the request that it answers.

    Args:
        folder: the folder that the stage owns.
        request: everything that decides the bytes of the result: options and the fingerprint of the input. Options that
            only change the speed stay out of it.
    """

    def __init__(self, folder: Path, request: Record) -> None:
        self.folder = folder
        self.request = json.loads(json.dumps(request))

    def finished(self) -> Record | None:
        """The manifest, if this request has been finished; else None."""
        manifest = read_json(self.folder / "manifest.json")
        return manifest if manifest is not None and manifest.get("request") == self.request else None

    def begin(self, force: bool) -> None:
        """Make the folder ready. Afterwards it is empty, or holds finished units of this request.

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
        files = (path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())
        if old == self.request or all(path.name == "request.json" or is_litter(str(path)) for path in files):
            return
        if old is None:
            raise MinerError(
                f"{self.folder} holds files, but not what they were made for (no request.json or manifest.json). "
                "Use --force to replace them, or choose another workspace with -w."
            )
        raise MinerError(
            f"{self.folder} was made by another request: {differences(old, self.request)}. "
            "Use --force to replace it, or choose another workspace with -w."
        )

    def finish(self, record: Record, files: Iterable[Path]) -> Record:
        """Write manifest.json with what the stage found and the checksum of each file; then the stage is done."""
        digests = {str(path.relative_to(self.folder)): file_record(path) for path in sorted(files)}
        return write_manifest(self.folder, self.request, digests, record)

    def discard(self) -> None:
        """Remove the folder, its manifest first."""
        (self.folder / "manifest.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class GrowingStage(Stage):
    """A stage that continues a finished result when its input has grown.

    The old manifest is kept as `previous.json` while the stage works, so that a killed run can continue.
    """

    def earlier(self, manifest: type[_Manifest]) -> _Manifest | None:
        """The manifest of the result that may be continued; None if there is none.

        Raises:
            MinerError: it is damaged.
        """
        return manifest.at(self.folder / "manifest.json") or manifest.at(self.folder / _PREVIOUS)

    def begin_growth(self, earlier: Artifact, remove_new: Callable[[], None]) -> None:
        """Make the folder ready to continue an earlier result; `remove_new` removes what another request has added."""
        if read_json(self.folder / "request.json") != self.request:
            remove_new()
        write_json(self.folder / _PREVIOUS, earlier.record)
        write_json(self.folder / "request.json", self.request)
        (self.folder / "manifest.json").unlink(missing_ok=True)

    def give_up_growth(self, earlier: Artifact) -> None:
        """Go back to the earlier result, whose files have not been touched."""
        write_json(self.folder / "manifest.json", earlier.record)
        (self.folder / "request.json").unlink(missing_ok=True)
        (self.folder / _PREVIOUS).unlink(missing_ok=True)

    def finish(self, record: Record, files: Iterable[Path]) -> Record:
        manifest = super().finish(record, files)
        (self.folder / _PREVIOUS).unlink(missing_ok=True)
        return manifest


def write_manifest(folder: AnyPath, request: Record, digests: Mapping[str, Record], record: Record) -> Record:
    """Write manifest.json, after which a stage is done; returns the manifest. `digests` holds the `file_record` by file."""
    manifest = {"miner_version": __version__, "request": request, "files": dict(digests), **record}
    manifest = write_signed(folder / "manifest.json", manifest)
    (folder / "request.json").unlink(missing_ok=True)
    return manifest


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
