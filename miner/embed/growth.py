"""A source that has grown: the embeddings of its old images stay as they are, row by row, and the new ones follow."""

from collections.abc import Sequence
from pathlib import Path

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.stage import GrowingStage
from miner.engine import Record
from miner.source import Entry
from miner.source.base import source_fingerprint


def grown_from(stage: GrowingStage, entries: Sequence[Entry]) -> EmbeddingsManifest | None:
    """The manifest of the finished embeddings that these entries continue, or None.

    They do if everything in the request but the source is the same, and every old image is still there, unchanged and with
    its old label.
    """
    base = stage.earlier(EmbeddingsManifest)
    if base is None or not _continues(base.asked, stage.request):
        return None
    old = known_keys(stage.folder, base)
    if source_fingerprint([entry for entry in entries if entry.key in old]) != base.request.source_fingerprint:
        return None
    return base


def known_keys(folder: Path, manifest: EmbeddingsManifest) -> set[str]:
    """Keys of all images that finished embeddings have seen, usable or not."""
    from miner.artifacts.embeddings.store import read_metadata
    from miner.artifacts.parquet import read_columns

    errors = read_columns(folder / "errors.parquet", ["key"], manifest.command)
    return {*read_metadata(folder, manifest.blocks)["key"].to_pylist(), *errors["key"].to_pylist()}


def remove_blocks(folder: Path, first: int) -> None:
    """Remove the blocks from number `first` on, which an interrupted growth has left."""
    from miner.artifacts.embeddings.store import error_part_path, metadata_path, vectors_path

    number = first
    while any(path(folder, number).exists() for path in (vectors_path, error_part_path, metadata_path)):
        for path in (metadata_path, error_part_path, vectors_path):
            path(folder, number).unlink(missing_ok=True)
        number += 1


def _continues(old: Record, new: Record) -> bool:
    return {**old, "source_fingerprint": None} == {**new, "source_fingerprint": None}
