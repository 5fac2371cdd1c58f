"""Files of a published folder: linked or copied, and checked. Files that publish did not write stay."""

import errno
import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from miner.artifacts.differences import differences
from miner.artifacts.litter import is_litter
from miner.artifacts.stage_folder import request_of
from miner.engine import Record, file_record, read_json, write_json
from miner.errors import MinerError
from miner.publish.contents import DataFile

_RECORDS = {"manifest.json", "request.json"}
_UNLINKABLE = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}
# What of a request decides the files that publish makes.
_DECIDE = ("miner_version", "embeddings", "pairs", "shards", "verdicts", "hard_negatives")
_REMEDY = "Run `miner pairs --force` and `miner export --force` again."


def link_or_copy(file: DataFile, path: Path) -> None:
    """Make `path` a hard link to `file.path`, or a copy where the file system has no links, and check its bytes.

    Raises:
        MinerError: the file is missing or not what its manifest says.
    """
    path.unlink(missing_ok=True)
    try:
        try:
            os.link(file.path, path)
        except OSError as error:
            if error.errno not in _UNLINKABLE:
                raise
            shutil.copyfile(file.path, path)
    except FileNotFoundError as error:
        raise MinerError(f"{file.path} is missing. {_REMEDY}") from error
    if file_record(path)["sha256"] != file.sha256:
        raise MinerError(f"{file.path} is damaged: its bytes are not those of its manifest. {_REMEDY}")


def prepare_folder(
    folder: Path, request: Record, force: bool, successor: bool = False, made: Collection[str] = ()
) -> None:
    """Pass if the folder is free for a request, whose `files` will be written.

    With `force`, or for the `successor` of the release in the folder, what publish wrote there is removed. A successor keeps those
    of the `made` files that are whole and would be made again with the same bytes.

    Raises:
        MinerError: the folder belongs to a workspace, holds files that publish did not write, or holds another data set and
            `force` is False.
    """
    old = _earlier_request(folder)
    written, found = set(old["files"]) if old else set(), _files(folder)
    unlisted = sorted(found - written)
    data_folders = {name.partition("/")[0] for name in request["files"] if "/" in name}
    between = [name for name in unlisted if name.partition("/")[0] in data_folders and name not in request["files"]]
    if between:
        raise MinerError(
            f"{first_names([str(folder / name) for name in between])} would be read as part of the data set, and publish did "
            "not write it. Move it away first."
        )
    if unlisted and not force:
        raise MinerError(
            f"{folder} holds files that publish did not write: {first_names(unlisted)}. Choose an empty folder, or use "
            "--force, which replaces files of the same names and leaves the others."
        )
    if old and old != request and not (force or successor):
        hidden = dict.fromkeys(("files", "name", "history", "next"))
        changes = (
            differences(*({**asked, **hidden, "to": asked.get("name")} for asked in (old, request))) or "other files"
        )
        raise MinerError(
            f"{folder} holds another data set: {changes}. Use --force to replace it, a --release above {old['release']} to write "
            "what changed since, or choose another folder."
        )
    if force or successor:
        if old:  # A run that is killed from here on finds out what was written, and what it was about to write.
            after = {name: request.get(name) for name in ("release", "shards", "history")} if successor else None
            write_json(folder / "request.json", {**old, "next": after} if after else old)
        kept = set() if force or not old else _unchanged(folder, old, request, made)
        _remove(folder, (written | (found & set(request["files"]))) - kept)


def _unchanged(folder: Path, old: Record, request: Record, made: Collection[str]) -> set[str]:
    if any(old.get(name) != request.get(name) for name in _DECIDE):
        return set()
    records = (read_json(folder / "manifest.json") or {}).get("files", {})
    return {name for name in made if (folder / name).is_file() and records.get(name) == file_record(folder / name)}


def _earlier_request(folder: Path) -> Record | None:
    """What an earlier publish was asked for, finished or not. Refuse the folder of another stage, or of a workspace."""
    if folder.exists() and not folder.is_dir():
        raise MinerError(f"{folder} is a file. Choose a folder with --to.")
    old = request_of(folder)
    foreign = (old or (folder / "manifest.json").exists()) and (old or {}).get("stage") != "publish"
    if foreign or (folder / "run.json").exists():
        raise MinerError(f"{folder} belongs to a workspace. Choose another folder with --to.")
    return old


def _files(folder: Path) -> set[str]:
    """Names of all files in a folder, but for hidden ones such as those of git, and for litter."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    names = {path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)} - _RECORDS
    return {name for name in names if not is_litter(name)}


def _remove(folder: Path, names: Collection[str]) -> None:
    """Remove files, the manifest first, and the folders that are empty then."""
    for name in ["manifest.json", *sorted(names)]:
        path = folder / name
        if path.resolve().is_relative_to(folder.resolve()):
            path.unlink(missing_ok=True)
    for parent in {(folder / name).parent for name in names} - {folder}:
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()


def first_names(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
