"""Where an export goes: `shards/` of the workspace, another folder, or a URL."""

from pathlib import Path
from typing import ClassVar

from miner.artifacts.stage_folder import StageFolder
from miner.artifacts.workspace import Workspace
from miner.engine import AnyPath, Record, local_or_remote
from miner.errors import UsageError
from miner.export.options import ExportOptions

_NUMBER = "[0-9]" * 6
_SHARDS = [f"{kind}{fields}-{_NUMBER}.tar" for kind in ("images", "pairs") for fields in ("", "-*")]
_TABLES = ["pairs.parquet", "images.parquet", "index.json", "index-images.json"]


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
    return ExportTarget(folder, request, [*_SHARDS, *_TABLES], [f"parts/{shard}.json" for shard in _SHARDS])


class ExportTarget(StageFolder[AnyPath]):
    """The folder of an export, on this machine or behind a URL, which may hold files of others."""

    shared: ClassVar = True
    elsewhere: ClassVar = "another --to"
