"""Which files are vouched for, by whom, and whether they are what they were."""

import json
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from miner.engine.digest import digest_file, first_difference
from miner.engine.records import Record, is_signed
from miner.errors import MinerError
from miner.verify.location import Place

# At the top of a workspace: locks, a log that was set aside, and what people decided, which grows by itself.
UNCOVERED = {".lock", ".log.lock", "run.damaged.json", "decisions.jsonl", "review/decisions.jsonl"}
# JSON files that stand for themselves and carry their own digest.
_SIGNED = re.compile(r"/(run|calibration|state|review)\.json$|/(runs/[^/]+|refined)/eval/[^/]+\.json$")


@dataclass
class Folder:
    """A finished stage.

    Attributes:
        path: below the place, with a slash at the end; empty for the place itself.
        manifest: of the stage.
    """

    path: str
    manifest: Record


@dataclass
class Survey:
    """What is there to be checked.

    Attributes:
        folders: finished stages.
        unfinished: folders of stages that were begun and not finished.
        notes: what could not be checked, for people.
        covered: files that a checksum vouches for.
        size_bytes: of these together.
    """

    folders: list[Folder] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    covered: set[str] = field(default_factory=set)
    size_bytes: int = 0


def survey(place: Place) -> Survey:
    """Read every manifest and every other JSON file that carries its own digest.

    Raises:
        MinerError: one of them is damaged or was edited.
    """
    found = Survey()
    begun = {_parent(path) for path in place.files if PurePosixPath(path).name == "request.json"}
    names = [path for path in place.files if path.endswith(".json")]
    for path in names:
        if PurePosixPath(path).name == "manifest.json" and "files" in (record := _parse(place, path)):
            found.folders.append(Folder(_parent(path), record))
    for folder in found.folders:
        _check_signature(place, folder.path + "manifest.json", folder.manifest, _is_modern(folder.manifest), found)
    found.unfinished = sorted(begun - {folder.path for folder in found.folders})
    listed = {path for folder in found.folders for path in _listed(folder)} | found.covered
    for path in names:
        if path not in listed and not path.startswith(tuple(found.unfinished)):
            record = _parse(place, path)
            if "digest" in record or _SIGNED.search(f"/{path}"):
                _check_signature(place, path, record, _must_be_signed(path, record, found.folders), found)
    return found


def check_files(place: Place, found: Survey) -> None:
    """Check size and sha256 of every file that a manifest, or another signed record, lists; shards only need to be there.

    Raises:
        MinerError: a file is missing or damaged; the message says which, and from which byte on.
    """
    signed = [path for path in sorted(found.covered) if path.endswith(".json") and not path.endswith("manifest.json")]
    records = [(folder.path, folder.manifest) for folder in found.folders]
    records += [(_parent(path), _parse(place, path)) for path in signed]
    for parent, record in records:
        files = record.get("files", {})
        if not isinstance(files, dict):
            raise MinerError(f"{place.name(parent + 'manifest.json')} is damaged: it lists no files.")
        shards = record.get("samples", {})
        for name, expected in files.items():
            check_file(place, parent, name, expected, only_there=name in shards)
            found.covered.add(parent + name)
            found.size_bytes += expected["bytes"]


def check_file(place: Place, parent: str, name: str, expected: Any, *, only_there: bool = False) -> None:
    """Check one file.

    Args:
        place: that holds it.
        parent: folder of the record that lists it, with a slash at the end.
        name: below that folder.
        expected: its record.
        only_there: leave its content for later.
    Raises:
        MinerError: it is missing, damaged, or outside the folder.
    """
    path, manifest = parent + name, place.name(f"{parent}manifest.json")
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise MinerError(f"{manifest} names a file outside its folder: {name}.")
    if not isinstance(expected, dict) or not isinstance(expected.get("bytes"), int) or "sha256" not in expected:
        raise MinerError(f"{manifest} is damaged: it has no checksum of {name}.")
    if not place.has(path):
        raise MinerError(f"{place.name(path)} is missing.")
    if only_there:
        return
    found = digest_file(place.fetch(path), expected["bytes"])
    if found["bytes"] < expected["bytes"]:
        raise MinerError(
            f"{place.name(path)} is cut short: it ends at byte {found['bytes']:,}, where the manifest says "
            f"{expected['bytes']:,} bytes."
        )
    if found["bytes"] > expected["bytes"]:
        raise MinerError(
            f"{place.name(path)} goes on after byte {expected['bytes']:,}, where it should end: it has {found['bytes']:,} bytes."
        )
    if found["sha256"] != expected["sha256"]:
        where = first_difference(expected, found)
        region = f" between byte {where.start:,} and byte {where.stop:,}" if where else ""
        raise MinerError(
            f"{place.name(path)} is damaged{region}: its sha256 is {found['sha256']}, not {expected['sha256']}."
        )


def check_strangers(place: Place, found: Survey) -> None:
    """Refuse files that nothing vouches for, in stage folders and in workspaces.

    Raises:
        MinerError: there is one.
    """
    stages = tuple(folder.path for folder in found.folders)
    workspaces = [_parent(path) for path in place.files if PurePosixPath(path).name == "run.json"]
    for path in sorted(place.files):
        if path in found.covered or any(path.startswith(folder) for folder in found.unfinished):
            continue
        in_stage = any(path.startswith(folder.path) for folder in found.folders if _lists_all(folder, path))
        in_workspace = path.startswith(tuple(workspaces)) and not path.startswith(stages) and not _is_hidden(path)
        if any(path.removeprefix(home) in UNCOVERED for home in ["", *workspaces]):
            continue
        if in_stage or in_workspace:
            raise MinerError(
                f"{place.name(path)} is an extra file: no manifest lists it. Remove it, or run the stage again with --force."
            )


def _check_signature(place: Place, path: str, record: Record, must: bool, found: Survey) -> None:
    """Whether a JSON file is what was written, byte for byte."""
    if "digest" in record and is_signed(place.read(path)):
        found.covered.add(path)
    elif "digest" in record or must:
        raise MinerError(
            f"{place.name(path)} is damaged or was edited: its content does not have the digest that it states. Run its stage "
            "again with --force."
        )
    else:
        found.covered.add(path)
        found.notes.append(
            f"{place.name(path)} carries no digest of its own (older version), so an edit would not show"
        )
        if path.endswith("calibration.json"):
            found.covered.add(path.removesuffix("json") + "png")


def _parse(place: Place, path: str) -> Record:
    """A JSON object; anything else is left to the checksum of the file."""
    try:
        record = json.loads(place.read(path))
    except (ValueError, RecursionError) as error:
        raise MinerError(f"{place.name(path)} is damaged: it is no JSON ({error}).") from error
    return record if isinstance(record, dict) else {}


def _is_manifest(path: str, record: Record) -> bool:
    return PurePosixPath(path).name == "manifest.json" and "files" in record


def _is_modern(record: Record) -> bool:
    """Whether a manifest should have a digest: by the digest, or by what came together with it."""
    files = record.get("files")
    listed = files.values() if isinstance(files, dict) else []
    return "digest" in record or any(isinstance(file, dict) and "blocks" in file for file in listed)


def _must_be_signed(path: str, record: Record, folders: list[Folder]) -> bool:
    """Whether a JSON file without a digest has lost it: what came together with digests is there."""
    if path.endswith("calibration.json"):
        return "files" in record
    around = [folder for folder in folders if path.startswith(folder.path)] or folders
    return any(_is_modern(folder.manifest) for folder in around)


def _lists_all(folder: Folder, path: str) -> bool:
    """Whether a manifest should list this file; older ones left more out than shards.

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


def _parent(path: str) -> str:
    """The folder of a file, with a slash at the end unless it is the place itself."""
    folder, slash, _ = path.rpartition("/")
    return folder + slash
