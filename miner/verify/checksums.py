"""Whether every file that a record lists is there, with the bytes that it had."""

from pathlib import PurePosixPath
from typing import Any

from miner.engine import file_record, first_difference
from miner.errors import MinerError
from miner.verify.location import Location
from miner.verify.survey import Folder, Survey, parent, read_record


def check_files(location: Location, found: Survey) -> None:
    """Check size and sha256 of every file that a manifest or another signed record lists; a shard only has to exist.

    Raises:
        MinerError: a file is missing or damaged; the message says which, and from which byte on.
    """
    signed = [path for path in sorted(found.covered) if path.endswith(".json") and not path.endswith("manifest.json")]
    folders = found.folders + [Folder(location, parent(path), read_record(location, path)) for path in signed]
    for folder in folders:
        files = folder.manifest.get("files", {})
        if not isinstance(files, dict):
            raise MinerError(f"{folder.full_path('manifest.json')} is damaged: it lists no files.")
        shards = folder.manifest.get("samples", {})
        for name, expected in files.items():
            check_file(folder, name, expected, exists_only=name in shards)
            found.covered.add(folder.path + name)
            found.size_bytes += expected["bytes"]


def check_file(folder: Folder, name: str, expected: Any, *, exists_only: bool = False) -> None:
    """Check one file.

    Args:
        folder: that lists it.
        name: below that folder.
        expected: its record.
        exists_only: do not read its content.
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
