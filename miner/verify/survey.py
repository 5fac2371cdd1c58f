"""Which stages have finished at a location, which files a checksum covers, and the check of their size and sha256."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from miner.artifacts.workspace import GIVEN
from miner.engine import Progress, Record, file_record, first_difference, is_signed, one_line, parse_json
from miner.errors import MinerError
from miner.verify.location import Location

# At the top of a workspace: locks, a log that was set aside, vectors that were given from Python, and what people decided, which
# grows by itself.
_UNCOVERED = {".lock", ".log.lock", "run.damaged.json", "decisions.jsonl", "review/decisions.jsonl", *GIVEN}
# JSON files that belong to no stage folder and carry their own digest.
_SIGNED = re.compile(r"/(run|calibration|state|review)\.json$|/((runs/[^/]+|refined)/)?eval/[^/]+\.json$")


@dataclass
class Folder:
    """The folder of a finished stage: its path below the location has a slash at the end, or is empty for the location itself."""

    location: Location
    path: str
    manifest: Record

    def full_path(self, name: str = "") -> str:
        """Path or URL of a file of the folder, for messages; of the folder if no file is named."""
        return self.location.full_path(f"{self.path}{name}".rstrip("/"))

    def fetch(self, name: str) -> Path:
        """A file of the folder on this machine, or the start of it that the manifest describes."""
        expected = self.manifest.get("files", {}).get(name)
        size = expected.get("bytes") if isinstance(expected, dict) else None
        return self.location.fetch(self.path + name, size if isinstance(size, int) else None)

    @contextmanager
    def described(self) -> Iterator[None]:
        """A context for checks of the folder. Whoever wrote the manifest may have written anything into it.

        Raises:
            MinerError: a value of the manifest or of a file has a type or a size that no stage writes.
        """
        try:
            yield
        except MinerError:
            raise
        except Exception as error:
            raise MinerError(
                f"{self.full_path('manifest.json')} is damaged: it does not describe what is there ({one_line(error)})."
            ) from error


@dataclass
class Survey:
    """What is there to be checked.

    Attributes:
        unfinished: folders of stages that were begun and not finished.
        notes: what could not be checked, for people.
        covered: files that a checksum covers.
        size_bytes: the size of the covered files together.
    """

    folders: list[Folder] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    covered: set[str] = field(default_factory=set)
    size_bytes: int = 0


def survey(location: Location) -> Survey:
    """Read every manifest and every other JSON file that carries its own digest.

    Raises:
        MinerError: one of them is damaged or was edited.
    """
    found = Survey()
    names = [path for path in location.files if path.endswith(".json")]
    for path in names:
        if PurePosixPath(path).name == "manifest.json" and "files" in (record := read_record(location, path)):
            found.folders.append(Folder(location, parent(path), record))
    for folder in found.folders:
        _check_signature(location, folder.path + "manifest.json", folder.manifest, _is_modern(folder.manifest), found)
    found.unfinished = _unfinished(location, [folder.path for folder in found.folders])
    listed = {path for folder in found.folders for path in _listed(folder)} | found.covered
    for path in names:
        if path not in listed and not path.startswith(tuple(found.unfinished)):
            record = read_record(location, path)
            if "digest" in record or _SIGNED.search(f"/{path}"):
                _check_signature(location, path, record, _must_be_signed(path, record, found.folders), found)
    return found


def check_files(location: Location, found: Survey) -> None:
    """Check size and sha256 of every file that a manifest or another signed record lists; a shard only has to exist.

    Raises:
        MinerError: a file is missing or damaged; the message says which, and from which byte on.
    """
    signed = [path for path in sorted(found.covered) if path.endswith(".json") and not path.endswith("manifest.json")]
    folders = found.folders + [Folder(location, parent(path), read_record(location, path)) for path in signed]
    with Progress("checksums", sum(len(_listed(folder)) for folder in folders), "files") as progress:
        for folder in folders:
            with folder.described():
                files = folder.manifest.get("files", {})
                if not isinstance(files, dict):
                    raise MinerError(f"{folder.full_path('manifest.json')} is damaged: it lists no files.")
                shards = folder.manifest.get("samples", {})
                for name, expected in files.items():
                    check_file(folder, name, expected, exists_only=name in shards)
                    found.covered.add(folder.path + name)
                    found.size_bytes += expected["bytes"]
                    progress.advance()


def _unfinished(location: Location, finished: list[str]) -> list[str]:
    """Folders of stages that were begun. A request elsewhere is a file that nobody lists, and hides nothing."""
    homes = [parent(path) for path in location.files if PurePosixPath(path).name in ("run.json", "calibration.json")]
    folders = []
    for path in location.files:
        folder = parent(path)
        inside = folder.startswith(tuple(finished)) if finished else False
        around = any(each.startswith(folder) for each in (*finished, *homes))
        if PurePosixPath(path).name == "request.json" and not inside and not around and read_record(location, path):
            folders.append(folder)
    return sorted(folders)


def check_file(folder: Folder, name: str, expected: Any, *, exists_only: bool = False) -> None:
    """Check one file of a folder against its record, or its existence only.

    Raises:
        MinerError: it is missing, damaged, or outside the folder.
    """
    manifest, path = folder.full_path("manifest.json"), folder.full_path(name)
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise MinerError(f"{manifest} names a file outside its folder: {name}.")
    if not isinstance(expected, dict) or not isinstance(expected.get("bytes"), int) or "sha256" not in expected:
        raise MinerError(f"{manifest} is damaged: it has no checksum of {name}.")
    if not folder.location.has(folder.path + name):
        raise MinerError(f"{path} is missing.")
    if exists_only:
        return
    found = file_record(folder.fetch(name), expected["bytes"])
    if found["bytes"] < expected["bytes"]:
        raise MinerError(
            f"{path} is cut short: it ends at byte {found['bytes']:,}, where the manifest says {expected['bytes']:,} bytes."
        )
    if found["bytes"] > expected["bytes"]:
        raise MinerError(
            f"{path} goes on after byte {expected['bytes']:,}, where it should end: it has {found['bytes']:,} bytes."
        )
    if found["sha256"] != expected["sha256"]:
        where = first_difference(expected, found)
        region = f" between byte {where.start:,} and byte {where.stop:,}" if where else ""
        raise MinerError(f"{path} is damaged{region}: its sha256 is {found['sha256']}, not {expected['sha256']}.")


def check_unlisted(location: Location, found: Survey) -> None:
    """Refuse files that no manifest lists, in stage folders and in workspaces.

    Raises:
        MinerError: there is one.
    """
    stages = tuple(folder.path for folder in found.folders)
    workspaces = [parent(path) for path in location.files if PurePosixPath(path).name == "run.json"]
    homes = workspaces if "" in stages else ["", *workspaces]
    for path in sorted(location.files):
        if path in found.covered or any(path.startswith(folder) for folder in found.unfinished):
            continue
        in_stage = any(path.startswith(folder.path) for folder in found.folders if _lists_all(folder, path))
        in_workspace = path.startswith(tuple(workspaces)) and not path.startswith(stages) and not _is_hidden(path)
        if any(path.removeprefix(home) in _UNCOVERED for home in homes):
            continue
        if in_stage or in_workspace:
            raise MinerError(
                f"{location.full_path(path)} is an extra file: no manifest lists it. If it is yours, move it elsewhere; else "
                "remove it."
            )


def read_record(location: Location, path: str) -> Record:
    """A JSON object; an empty one for other JSON values, which the checksum of the file covers.

    Raises:
        MinerError: the file is no JSON.
    """
    try:
        record = parse_json(location.read(path))
    except ValueError as error:
        raise MinerError(f"{location.full_path(path)} is damaged: it is no JSON ({error}).") from error
    return record if isinstance(record, dict) else {}


def parent(path: str) -> str:
    """The folder of a file, with a slash at the end; empty for the location itself."""
    folder, slash, _ = path.rpartition("/")
    return folder + slash


def _check_signature(location: Location, path: str, record: Record, must: bool, found: Survey) -> None:
    """Whether a JSON file is what was written, byte for byte."""
    if "digest" in record and is_signed(location.read(path)):
        found.covered.add(path)
    elif "digest" in record or must:
        raise MinerError(
            f"{location.full_path(path)} is damaged or was edited: its content does not have the digest that it states. Run its "
            "stage again with --force."
        )
    else:
        found.covered.add(path)
        found.notes.append(
            f"{location.full_path(path)} carries no digest of its own (older version), so an edit would not show"
        )
        if path.endswith("calibration.json"):
            found.covered.add(path.removesuffix("json") + "png")


def _is_modern(record: Record) -> bool:
    """Whether a manifest should have a digest: it has one, or the blocks that came in the same version."""
    files = record.get("files")
    listed = files.values() if isinstance(files, dict) else []
    return "digest" in record or any(isinstance(file, dict) and "blocks" in file for file in listed)


def _must_be_signed(path: str, record: Record, folders: list[Folder]) -> bool:
    """Whether a JSON file without a digest has lost it, because the files around it have what came with digests."""
    if path.endswith("calibration.json"):
        return "files" in record
    around = [folder for folder in folders if path.startswith(folder.path)] or folders
    return any(_is_modern(folder.manifest) for folder in around)


def _lists_all(folder: Folder, path: str) -> bool:
    """Whether a manifest should list this file. Older manifests list few files but all shards.

    A published repository also holds what git and the Hub keep there, in hidden files and folders.
    """
    request = folder.manifest.get("request")
    if isinstance(request, dict) and request.get("stage") == "publish" and _is_hidden(path.removeprefix(folder.path)):
        return False
    return _is_modern(folder.manifest) or path.endswith(".tar")


def _listed(folder: Folder) -> set[str]:
    files = folder.manifest.get("files")
    return {folder.path + name for name in files} if isinstance(files, dict) else set()


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(path).parts)
