"""The sets that are compared: what is not embedded yet is embedded, and every image has the checksum of its bytes."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from miner.artifacts.embeddings.images import class_name
from miner.artifacts.embeddings.manifest import EmbeddingsManifest, SourceRecord
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.parquet import load_table
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.sets import embed_set, encoding_of, is_workspace, refuse_other_encoders
from miner.engine import Progress, Record, fingerprint
from miner.errors import MinerError, UsageError
from miner.leaks.options import LeaksOptions
from miner.run_stages import say
from miner.source import Entry, Source, open_source, parts_of
from miner.source.base import source_fingerprint

_DEFAULT_ENCODER = str(EmbedOptions.model_fields["encoder"].default)
_MOST_THREADS = 8
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("key", "path", "label", "sha256")),
        *((name, pa.int64()) for name in ("width", "height", "row")),
    ]
)


@dataclass(frozen=True)
class OpenedSet:
    """One of the sets.

    Attributes:
        name: as the user typed it.
        source: of its images.
        identity: changes with the images, or with how they are embedded.
        origin: what tells the images of the set from those of another.
        store: of the vectors; None where only bytes are compared.
        images: a row per image: key, path, label (a name), sha256, width, height, and row, that of its vector. Images that could
            not be decoded come last; they have no width, height and row.
        unreadable: number of files whose bytes cannot be read.
    """

    name: str
    source: SourceRecord
    identity: str
    origin: str
    store: EmbeddingStore | None
    images: pa.Table
    unreadable: int


def split_sets(options: LeaksOptions) -> LeaksOptions:
    """The options with the splits of a data set in its place, if one set alone is named.

    Raises:
        UsageError: it has no splits.
        MinerError: it cannot be read.
    """
    if len(options.sources) > 1:
        return options
    name, *_ = options.sources
    parts = [] if is_workspace(name) else parts_of(name)
    if not parts:
        raise UsageError(f"leaks compares two sets or more, and {name!r} alone has no splits. Name TRAIN and TEST.")
    return options.model_copy(update={"sources": parts})


def open_sets(options: LeaksOptions, workspace: Workspace, force: bool, quiet: bool) -> list[OpenedSet]:
    """Open all sets, and embed those that are not workspaces into folders below `workspace`; none where only bytes count.

    Raises:
        UsageError: a set is named twice, or two workspaces have vectors of different encoders.
        MinerError: a set cannot be read or embedded.
    """
    only_bytes = options.up_to == "bytes"
    like = {} if only_bytes else _encoding(options)
    for name in options.sources[1:]:
        if not is_workspace(name):
            open_source(name)  # so that a wrong name is found before the first set is embedded
    sets = []
    for name in options.sources:
        if is_workspace(name):
            found = _embedded(name, EmbeddingStore(Workspace(Path(name))))
            sets.append(replace(found, store=None) if only_bytes else found)
        elif only_bytes:
            sets.append(_hashed(name))
        else:
            wanted = EmbedOptions.parse({**like, "source": name, "device": options.device})
            own, result = embed_set(wanted, workspace, force)
            if result.fresh:
                say("\n".join(result.lines), quiet)
            sets.append(_embedded(name, EmbeddingStore(own)))
    refuse_doubles(options.sources, [each.origin for each in sets])
    if not only_bytes:
        refuse_other_encoders(options.sources, [each.store.manifest for each in sets if each.store is not None])
    return sets


def _encoding(options: LeaksOptions) -> Record:
    """How images are encoded: as in the workspaces among the sets, or by the encoder that the user chose."""
    names = [name for name in options.sources if is_workspace(name)]
    if not names:
        return {"encoder": options.encoder or _DEFAULT_ENCODER, "runtime": "torch"}  # for small and large sets alike
    embedded = [EmbeddingsManifest.read(Workspace(Path(name))) for name in names]
    refuse_other_encoders(names, embedded)
    like = encoding_of(embedded[0])
    found = like.get("encoder")
    if options.encoder not in (None, found):
        raise UsageError(
            f"{names[0]} was embedded by {found or 'no encoder'}, and --encoder is {options.encoder}. Leave out --encoder, or name "
            "the images instead of the workspace."
        )
    if found is None and len(names) < len(options.sources):
        raise UsageError(
            f"{names[0]} holds vectors of no encoder, so the other sets cannot be embedded. Name workspaces only."
        )
    return like


def refuse_doubles(names: Sequence[str], places: Sequence[str]) -> None:
    """Refuse a set that is named twice.

    Args:
        places: what tells the images of each set from those of others.
    Raises:
        UsageError: two of them are equal.
    """
    for number, place in enumerate(places):
        if (first := places.index(place)) < number:
            raise UsageError(
                f"{names[first]} and {names[number]} are the same images, and each of them would be its own leak. Name two "
                "different sets. Duplicates inside one set are in duplicates.parquet of `miner pairs`."
            )


def _embedded(name: str, store: EmbeddingStore) -> OpenedSet:
    metadata, source = store.metadata, store.manifest.source
    labels = [None if label is None else class_name(label, source.classes) for label in metadata["label"].to_pylist()]
    columns = {
        column: metadata[column].cast(_SCHEMA.field(column).type)
        for column in ("key", "path", "sha256", "width", "height")
    }
    embedded = pa.table({**columns, "label": pa.array(labels, pa.string()), "row": range(len(metadata))})
    undecoded, unreadable = _undecoded(store)
    images = pa.concat_tables([embedded.select(_SCHEMA.names).cast(_SCHEMA), pa.Table.from_pylist(undecoded, _SCHEMA)])
    origin = (
        f"{source.spec} {source.image_column} {store.manifest.asked.get('source_fingerprint', store.manifest.identity)}"
    )
    return OpenedSet(name, source, store.manifest.identity, origin, store, images, unreadable)


def _hashed(name: str) -> OpenedSet:
    """A set whose files are read, and nothing else."""
    source = open_source(name)
    found, unreadable = _checksums(source, source.entries)
    record = SourceRecord(spec=source.spec, classes=source.classes)
    identity = fingerprint([[image["key"], image["sha256"]] for image in found])
    origin = f"{source.spec} None {source_fingerprint(source.entries)}"
    return OpenedSet(name, record, identity, origin, None, pa.Table.from_pylist(found, _SCHEMA), unreadable)


def _undecoded(store: EmbeddingStore) -> tuple[list[Record], int]:
    """The images that have no vector, with the checksum of their bytes; and the number of those that cannot be read."""
    if not store.manifest.errors:
        return [], 0
    wanted = set(load_table(store.folder / "errors.parquet", ["key"])["key"].to_pylist())
    source = store.manifest.source.open()
    return _checksums(source, [entry for entry in source.entries if entry.key in wanted])


def _checksums(source: Source, entries: Sequence[Entry]) -> tuple[list[Record], int]:
    """Key, path, label and sha256 of images; and the number of files that cannot be read."""
    found, failed = [], 0
    threads = ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS))
    with threads as pool, Progress("checksums", len(entries), "files") as progress:
        for entry, sha256 in zip(entries, pool.map(partial(_sha256, source), entries), strict=True):
            progress.advance()
            failed += sha256 is None
            if sha256:
                label = None if entry.label is None else class_name(entry.label, source.classes)
                found.append({"key": entry.key, "path": entry.path, "label": label, "sha256": sha256})
    return found, failed


def _sha256(source: Source, entry: Entry) -> str | None:
    """Of a file; "" of an empty one, which is no image and no copy of another; None if it cannot be read."""
    try:
        data = source.read(entry)
    except (OSError, MinerError):
        return None
    return hashlib.sha256(data).hexdigest() if data else ""
