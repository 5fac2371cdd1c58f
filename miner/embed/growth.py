"""A source that has grown: the embeddings of its old images stay as they are, row by row, and the new ones follow."""

from collections.abc import Sequence
from pathlib import Path

from miner.artifacts.stage import Stage
from miner.engine import write_json
from miner.engine.records import Record, read_json
from miner.source import Entry
from miner.source.base import source_fingerprint

_PREVIOUS = "previous.json"


def grown_from(stage: Stage, entries: Sequence[Entry]) -> Record | None:
    """The manifest of the finished embeddings that these entries continue, or None.

    They do if everything in the request but the source is the same, and every old image is still there, unchanged and with
    its old label.
    """
    folder = stage.folder
    base = read_json(folder / "manifest.json") or read_json(folder / _PREVIOUS)
    if base is None or not _continues(base["request"], stage.request):
        return None
    old = known_keys(folder, base)
    if source_fingerprint([entry for entry in entries if entry.key in old]) != base["request"]["source_fingerprint"]:
        return None
    return base


def begin_growth(stage: Stage, base: Record) -> None:
    """Make the folder ready to go on from `base`.

    The old manifest is kept as previous.json until the new images are done, so that a killed run continues.
    """
    folder = stage.folder
    if read_json(folder / "request.json") != stage.request:
        _remove_blocks(folder, base["blocks"])
    write_json(folder / _PREVIOUS, base)
    write_json(folder / "request.json", stage.request)
    (folder / "manifest.json").unlink(missing_ok=True)


def forget_previous(folder: Path) -> None:
    """Called when the new manifest is there."""
    (folder / _PREVIOUS).unlink(missing_ok=True)


def known_keys(folder: Path, manifest: Record) -> set[str]:
    """Keys of all images that finished embeddings have seen, usable or not."""
    import pyarrow.parquet as pq

    from miner.artifacts.embeddings.store import read_metadata

    errors = pq.read_table(folder / "errors.parquet", columns=["key"])
    return {*read_metadata(folder, manifest)["key"].to_pylist(), *errors["key"].to_pylist()}


def _continues(old: Record, new: Record) -> bool:
    return {**old, "source_fingerprint": None} == {**new, "source_fingerprint": None}


def _remove_blocks(folder: Path, first: int) -> None:
    """Blocks of a growth that was interrupted and is not the one wanted now."""
    from miner.artifacts.embeddings.store import error_part_path, metadata_path, vectors_path

    number = first
    while any(path(folder, number).exists() for path in (vectors_path, error_part_path, metadata_path)):
        for path in (metadata_path, error_part_path, vectors_path):
            path(folder, number).unlink(missing_ok=True)
        number += 1
