"""Where an export goes: `shards/` of the workspace, another folder, or a URL."""

import json
from collections.abc import Mapping
from pathlib import Path

from miner.artifacts.differences import differences
from miner.artifacts.stage_folder import request_of, write_manifest
from miner.artifacts.workspace import Workspace
from miner.engine import AnyPath, Record, local_or_remote, read_json, write_json
from miner.errors import MinerError, UsageError
from miner.export.options import ExportOptions

_OWN_NAMES = ("manifest.json", "request.json", "pairs.parquet", "images.parquet", "index.json", "index-images.json")


def open_target(options: ExportOptions, workspace: Workspace, request: Record) -> "ExportTarget":
    """The folder that an export writes to; `request` is all that decides its bytes.

    Raises:
        UsageError: the URL cannot be used at all, or not by several processes.
    """
    folder = workspace.shards if options.to is None else local_or_remote(options.to)
    several = options.workers > 1 or options.engine_address is not None
    if several and not isinstance(folder, Path) and folder.protocol == "memory":
        raise UsageError(
            "memory:// belongs to one process. Leave --workers and --engine-address out, or use another --to."
        )
    return ExportTarget(folder, request)


class ExportTarget:
    """The folder of an export, on this machine or behind a URL. It is begun, continued, finished or refused as a `Stage` is.

    It may hold files of others: `--force` removes what an export wrote, and nothing else.
    """

    def __init__(self, folder: AnyPath, request: Record) -> None:
        self.folder = folder
        self.request = json.loads(json.dumps(request))

    def finished(self) -> Record | None:
        """The manifest, if this very request has been finished."""
        manifest = read_json(self.folder / "manifest.json")
        return manifest if manifest is not None and manifest.get("request") == self.request else None

    def refuse_another(self) -> None:
        """Pass if the folder is free for this request.

        Raises:
            MinerError: it holds the export of another request, or part of it.
        """
        old = request_of(self.folder)
        if old != self.request and any(name != "request.json" for name in self._own_names()):
            made_for = "" if old is None else f": {differences(old, self.request)}"
            raise MinerError(
                f"{self.folder} holds the export of another request{made_for}. Use --force to replace it, or choose another --to."
            )

    def begin(self, force: bool) -> None:
        """Make the folder ready; with `force`, remove what an earlier export wrote."""
        if force:
            self._remove(self._own_names())
            self.forget_notes()
        write_json(self.folder / "request.json", self.request)

    def finish(self, record: Record, files: Mapping[str, Record]) -> Record:
        """Write manifest.json with the record and the records of all files. The export is done from here on."""
        manifest = write_manifest(self.folder, self.request, dict(sorted(files.items())), record)
        self.forget_notes()
        return manifest

    def forget_notes(self) -> None:
        """Remove the notes about shards, which the manifest has taken over."""
        self._remove([name for name in self._own_names() if "/" in name])
        notes = self.folder / "parts"
        if isinstance(notes, Path) and notes.is_dir() and not any(notes.iterdir()):
            notes.rmdir()

    def _remove(self, names: list[str]) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)

    def _own_names(self) -> list[str]:
        """The files of exports in the folder, the manifest first."""
        folder = self.folder
        if isinstance(folder, Path):
            names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        else:
            names = folder.names()
        return sorted(filter(_is_own, names), key=lambda name: (name != "manifest.json", name))


def _is_own(name: str) -> bool:
    """Whether an export writes a file of this name."""
    folder, _, file = name.rpartition("/")
    kind, _, ending = file.removeprefix(".").removesuffix(".partial").removesuffix(".json").rpartition(".")
    is_shard = kind.startswith(("images-", "pairs-")) and ending == "tar"
    return (folder in ("", "parts") and is_shard) or (folder == "" and file in _OWN_NAMES)
