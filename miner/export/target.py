"""Where an export goes: `shards/` of the workspace, another folder, or a URL."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from miner import __version__
from miner.artifacts.stage import Stage
from miner.artifacts.workspace import Workspace
from miner.engine.records import Record, write_signed
from miner.engine.remote import RemotePath, remote_or_local
from miner.errors import MinerError, UsageError
from miner.export.options import ExportOptions

_OWN_NAMES = ("manifest.json", "request.json", "pairs.parquet", "images.parquet", "index.json", "index-images.json")


def open_target(options: ExportOptions, workspace: Workspace, request: Record) -> "FolderTarget":
    """The stage that owns the folder of an export.

    Args:
        options: of the export.
        workspace: of the export.
        request: all that decides its bytes.
    Raises:
        UsageError: the URL cannot be used at all, or not by several processes.
    """
    place = workspace.shards if options.to is None else remote_or_local(options.to)
    if isinstance(place, Path):
        return FolderTarget(place, request)
    if place.protocol == "memory" and (options.workers > 1 or options.engine_address is not None):
        raise UsageError(
            "memory:// belongs to one process. Leave --workers and --engine-address out, or use another --to."
        )
    return UrlTarget(place, request)


class FolderTarget(Stage):
    """A folder that may hold files of others: `--force` removes what an export wrote, and nothing else."""

    def discard(self) -> None:
        """Remove what an export wrote, its manifest first."""
        for path in self._own_files():
            path.unlink()
        self.forget_parts()

    def forget_parts(self) -> None:
        """Remove the notes about shards, which the manifest has taken over."""
        for path in self._own_files():
            if path.parent != self.folder:
                path.unlink()
        parts = self.folder / "parts"
        if parts.is_dir() and not any(parts.iterdir()):
            parts.rmdir()

    def _holds_work(self) -> bool:
        return any(path.name != "request.json" for path in self._own_files())

    def _own_files(self) -> list[Path]:
        found = [path for path in self.folder.rglob("*") if path.is_file()] if self.folder.is_dir() else []
        return _manifest_first(path for path in found if _is_own(path.relative_to(self.folder).as_posix()))


class UrlTarget(FolderTarget):
    """A folder on an fsspec file system."""

    def __init__(self, place: RemotePath, request: Record) -> None:
        # A RemotePath has what a stage and its units need of a Path.
        super().__init__(cast(Path, place), request)
        self.place = place

    def finished(self) -> Record | None:
        manifest = self._read("manifest.json")
        return manifest if manifest is not None and manifest.get("request") == self.request else None

    def refuse_another(self) -> None:
        old = (self._read("manifest.json") or {}).get("request") or self._read("request.json")
        if old != self.request and self._holds_work():
            raise MinerError(
                f"{self.place} holds the export of another request. Use --force to replace it, or another --to."
            )

    def forget_parts(self) -> None:
        for path in self._own_files():
            if path.parent != self.place:
                path.unlink()

    def finish(self, record: Record, files: Iterable[Path], known: Mapping[str, Record] | None = None) -> Record:
        names = sorted(cast(RemotePath, path).relative_to(self.place) for path in files)
        checksums = {name: (known or {})[name] for name in names}
        manifest = {"miner_version": __version__, "request": self.request, "files": checksums, **record}
        manifest = write_signed(self.folder / "manifest.json", manifest)
        (self.place / "request.json").unlink()
        return manifest

    def _own_files(self) -> list[Any]:
        return _manifest_first(path for path in self.place.files() if _is_own(path.relative_to(self.place)))

    def _read(self, name: str) -> Record | None:
        try:
            record = json.loads((self.place / name).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise MinerError(f"{self.place / name} is damaged. Use --force to write the export again.") from error
        return record if isinstance(record, dict) else None


def _is_own(name: str) -> bool:
    """Whether an export writes a file of this name."""
    folder, _, file = name.rpartition("/")
    kind, _, ending = file.removeprefix(".").removesuffix(".partial").removesuffix(".json").rpartition(".")
    is_shard = kind.startswith(("images-", "pairs-")) and ending == "tar"
    return (folder in ("", "parts") and is_shard) or (folder == "" and file in _OWN_NAMES)


def _manifest_first(paths: Iterable[Any]) -> list[Any]:
    return sorted(paths, key=lambda path: (path.name != "manifest.json", str(path)))
