"""What an earlier `miner embed` left in a workspace: whether it goes on with the same images, grown or moved or changed.

A source that has grown is continued: the old rows keep their numbers and bytes, and the new images follow. A source that was
moved is read from its new place. An image that has changed is refused.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from miner.artifacts.embeddings.manifest import PARTS, EmbeddingsManifest
from miner.artifacts.embeddings.store import error_part_path, metadata_path, vectors_path
from miner.artifacts.embeddings.verified import read_versions
from miner.artifacts.parquet import load_table
from miner.artifacts.stage_folder import GrowingStage, request_of
from miner.artifacts.workspace import Workspace
from miner.engine import Record, read_json, write_json, write_signed
from miner.errors import MinerError
from miner.source import Entry, Source
from miner.source.base import source_fingerprint
from miner.source.listing import LEAST_TIME
from miner.text import counted

_SAMPLED = 64
_READERS = 8
_SHOWN = 5
_SOURCE = ("source", "source_fingerprint")


class KnownImage(NamedTuple):
    """An image in the finished blocks of a folder; `sha256` is None for one that could not be used."""

    path: str
    label: int | None
    size_bytes: int | None
    sha256: str | None


def known_images(folder: Path, keys: Iterable[str] | None = None) -> dict[str, KnownImage]:
    """The images in the finished blocks of a folder, by key.

    Args:
        folder: the folder of embeddings, finished or not.
        keys: the keys of the wanted images; None for all.
    """
    wanted = None if keys is None else pa.array(list(keys), pa.string())
    known: dict[str, KnownImage] = {}
    for path in _tables(folder, "errors/errors_[0-9]*.parquet", f"{PARTS}/errors_[0-9]*.parquet", "errors.parquet"):
        for key, name in _columns(path, ["key", "path"], wanted):
            known[key] = KnownImage(name, None, None, None)
    for path in _tables(folder, "metadata/metadata_[0-9]*.parquet", f"{PARTS}/metadata_[0-9]*.parquet"):
        for key, *facts in _columns(path, ["key", "path", "label", "bytes", "sha256"], wanted):
            known[key] = KnownImage(*facts)
    return known


def _tables(folder: Path, *patterns: str) -> list[Path]:
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]


def grown_from(stage: GrowingStage, entries: Sequence[Entry]) -> EmbeddingsManifest | None:
    """The manifest of the finished embeddings that these entries continue, or None.

    Entries continue old embeddings if the request differs only in the source. Every old image must still be there, with its
    old size and its old label.
    """
    base = stage.earlier(EmbeddingsManifest)
    if base is None or not same_encoding(base.asked, stage.request):
        return None
    old = _keys_of(stage.folder, base)
    if source_fingerprint([entry for entry in entries if entry.key in old]) != base.request.source_fingerprint:
        return None
    return base


def new_images(folder: Path, base: EmbeddingsManifest | None, entries: Sequence[Entry]) -> Sequence[Entry]:
    """The entries that finished embeddings have not seen, usable or not."""
    old = _keys_of(folder, base) if base else set()
    return [entry for entry in entries if entry.key not in old]


def remove_blocks(folder: Path, first: int) -> None:
    """Remove the blocks from number `first` on, which an interrupted growth has left."""
    number = first
    while any(path(folder, number).exists() for path in (vectors_path, error_part_path, metadata_path)):
        for path in (metadata_path, error_part_path, vectors_path):
            path(folder, number).unlink(missing_ok=True)
        number += 1


def same_encoding(old: Record, new: Record) -> bool:
    """Whether two requests differ at most in the source."""
    return {**old, **dict.fromkeys(_SOURCE)} == {**new, **dict.fromkeys(_SOURCE)}


def same_images(stage: GrowingStage, source: Source, entries: Sequence[Entry], workspace: Workspace) -> list[str]:
    """Check that the images of an earlier run are still the same, and follow the source if it was moved.

    Files that were written again since are compared by sha256; of a source that was moved, a sample of the images. Requests that
    differ in more than the source are left to the stage.

    Args:
        stage: that was begun before.
        source, entries: as opened now.
    Returns:
        Lines for the user.
    Raises:
        MinerError: images are gone, or have changed.
    """
    begun = request_of(stage.folder) or {}
    if not same_encoding(begun, stage.request):
        return []
    if begun["source_fingerprint"] != stage.request["source_fingerprint"] and grown_from(stage, entries) is None:
        _refuse_other_images(stage.folder, begun, stage.request, entries)
        return []
    old_source = begun["source"]
    if old_source == stage.request["source"]:
        suspects = _perhaps_changed(entries, workspace)
        if suspects:
            _refuse_changed(source, suspects, known_images(stage.folder, (entry.key for entry in suspects)))
        return []
    known = {key: image for key, image in known_images(stage.folder).items() if image.sha256}
    candidates = [entry for entry in entries if entry.key in known]
    sample = candidates[:: max(len(candidates) // _SAMPLED, 1)]
    _refuse_changed(source, sample, known)
    for folder in (stage.folder, workspace.refined.embeddings):
        _rename_source(folder, old_source, stage.request["source"])
    return [
        f"embed: the images of {old_source} are read from {stage.request['source']} from now on ({len(sample)} of "
        f"{len(candidates):,} compared by sha256; nothing was encoded again)"
    ]


def _perhaps_changed(entries: Sequence[Entry], workspace: Workspace) -> list[Entry]:
    """The entries whose files may have changed since they were embedded: by their versions, or by their times if an older miner
    kept no versions."""
    if versions := read_versions(workspace):
        return [entry for entry in entries if versions.get(entry.key, entry.version) != entry.version]
    try:
        log = workspace.logged()["embed"]
        begun = int((datetime.fromisoformat(log["finished_at"]).timestamp() - log["seconds"]) * 1e9)
    except (MinerError, KeyError, TypeError, ValueError):
        begun = 0
    return [entry for entry in entries if entry.version and not LEAST_TIME <= entry.version < begun]


def _refuse_other_images(folder: Path, old: Record, new: Record, entries: Sequence[Entry]) -> None:
    """Refuse other images, and say which they are; pass if the folder holds no finished block.

    Raises:
        MinerError: the folder holds the embeddings of other images.
    """
    if known := known_images(folder):
        if old["source"] != new["source"]:
            what = f"another source: {old['source']}, not {new['source']}"
        else:
            what = f"other images of {old['source']}: {_image_differences(known, entries)}"
        raise MinerError(
            f"{folder} was made from {what}. Use --force to replace it, or choose another workspace with -w."
        )


def _image_differences(known: dict[str, KnownImage], entries: Sequence[Entry]) -> str:
    now = {entry.key: entry for entry in entries}
    both = [(image, now[key]) for key, image in known.items() if key in now and image.sha256]
    kinds = {
        "gone": [image.path for key, image in known.items() if key not in now],
        "new": [entry.path for entry in entries if entry.key not in known],
        "of another size": [image.path for image, entry in both if _resized(image, entry)],
        "of another class": [image.path for image, entry in both if image.label != entry.label],
    }
    found = [
        f"{counted(len(paths), 'image is', 'images are')} {kind} ({_names(paths)})"
        for kind, paths in kinds.items()
        if paths
    ]
    return ", ".join(found) or "their order or the size of an unusable image is another"


def _resized(image: KnownImage, entry: Entry) -> bool:
    # Parquet states mean sizes only.
    return not entry.path.partition("/")[0].endswith(".parquet") and image.size_bytes != entry.size_bytes


def _names(names: Sequence[str]) -> str:
    """The first few of many names."""
    return ", ".join(names[:_SHOWN]) + ", ..." * (len(names) > _SHOWN)


def _refuse_changed(source: Source, entries: Sequence[Entry], known: dict[str, KnownImage]) -> None:
    """Compare images with the sha256 of earlier blocks.

    Raises:
        MinerError: some have changed, or cannot be read any more.
    """

    def same(entry: Entry) -> bool:
        try:
            return sha256(source.read(entry)).hexdigest() == known[entry.key].sha256
        except OSError:
            return False

    compared = [entry for entry in entries if entry.key in known and known[entry.key].sha256]
    with ThreadPoolExecutor(_READERS) as pool:
        changed = [entry.path for entry, fine in zip(compared, pool.map(same, compared), strict=True) if not fine]
    if changed:
        raise MinerError(
            f"{len(changed):,} of {counted(len(compared), 'image')} that were compared are not those that were "
            "embedded, though their sizes "
            f"are the same: {_names(changed)} of {source.spec}. Put them back, or use --force to embed the source again."
        )


def _rename_source(folder: Path, old: str, new: str) -> None:
    """Write the new name of a source into the records of its embeddings."""
    for name in ("manifest.json", "previous.json"):
        record = read_json(folder / name)
        if record is not None and record.get("source", {}).get("spec") == old:
            request = {**record["request"], "source": new} if "source" in record["request"] else record["request"]
            write_signed(folder / name, {**record, "request": request, "source": {**record["source"], "spec": new}})
    if (request := read_json(folder / "request.json")) is not None and request.get("source") == old:
        write_json(folder / "request.json", {**request, "source": new})


def _keys_of(folder: Path, manifest: EmbeddingsManifest) -> set[str]:
    """Keys of all images that finished embeddings have seen, usable or not."""
    paths = [folder / "errors.parquet", *(metadata_path(folder, block) for block in range(manifest.blocks))]
    return {key for path in paths for (key,) in _columns(path, ["key"], None)}


def _columns(path: Path, names: list[str], wanted: pa.Array | None) -> Iterator[tuple[Any, ...]]:
    try:
        table = load_table(path, names)
    except (OSError, pa.ArrowException) as error:
        raise MinerError(f"{path} is missing or damaged ({error}). Embed again with --force.") from error
    if wanted is not None:
        table = table.filter(pc.is_in(table["key"], wanted))
    return zip(*(table[name].to_pylist() for name in names), strict=True)
