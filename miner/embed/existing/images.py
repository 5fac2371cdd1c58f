"""The image of each vector: one of a source, found by its name, or a name alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from miner.artifacts.embeddings.images import METADATA_SCHEMA, UnusableImage
from miner.artifacts.embeddings.names import NAMES_HELP, images_named
from miner.embed.existing.files import ExistingVectors
from miner.embed.existing.names import RowNames
from miner.errors import MinerError, UsageError
from miner.source import Entry, Source
from miner.source.keys import hashed_key, is_clean, printable
from miner.source.location import canonical
from miner.text import counted

_SHOWN = 3


@dataclass(frozen=True)
class TiedImages:
    """The images of a source that vectors belong to.

    Attributes:
        entries: the image of each vector.
        missing: images of the source without a vector.
    """

    entries: Sequence[Entry]
    missing: Sequence[UnusableImage]


def tied_images(found: RowNames, vectors: ExistingVectors, count: int, source: Source) -> TiedImages:
    """The image of each of the first `count` vectors.

    Vectors that lie in the Parquet files of the source itself belong to the images of their rows.

    Raises:
        UsageError: nothing names the vectors.
        MinerError: a name is that of no image, or two names are that of one.
    """
    entries = source.entries
    if found.names is None and source.spec == canonical(str(vectors.place)) and len(entries) == len(vectors):
        return TiedImages(entries[:count], [])
    if found.names is None:
        raise UsageError(
            f"Nothing says which image of {source.spec} a vector belongs to. Give --keys FILE with one name a line, in the order "
            f"of the vectors; or --key-column, the column of a table beside them. {NAMES_HELP}"
        )
    names = found.names.slice(0, count)
    rows = images_named(names, *(pa.array([getattr(entry, name) for entry in entries]) for name in ("key", "path")))
    if (unknown := rows < 0).any():
        examples = ", ".join(names.filter(pa.array(unknown)).slice(0, _SHOWN).to_pylist())
        raise MinerError(
            f"{int(unknown.sum()):,} of {counted(count, 'name')} in {found.origin} are no image of {source.spec}, "
            f"such as {examples}. "
            f"There the first image has the path {entries[0].path} and the key {entries[0].key}. {NAMES_HELP}"
        )
    chosen = set(rows.tolist())
    if len(chosen) < count:
        raise MinerError(
            f"{count - len(chosen):,} of {counted(count, 'name')} in {found.origin} are an image that another name is too."
        )
    missing = [entry for row, entry in enumerate(entries) if row not in chosen] if count == len(vectors) else []
    reason = f"no vector in {vectors.name}"
    return TiedImages(
        [entries[row] for row in rows.tolist()], [UnusableImage(entry.key, entry.path, reason) for entry in missing]
    )


def metadata_without_images(found: RowNames, count: int) -> pa.Table:
    """The metadata table of the first `count` vectors: keys, names as paths, and labels; nothing about images.

    A name that is no valid key gets one that depends on the name alone. A row without a name is called by its number.

    Raises:
        MinerError: two names have the same key.
    """
    names = [str(row) for row in range(count)] if found.names is None else found.names.slice(0, count).to_pylist()
    keys = [name if is_clean(name) else hashed_key(name) for name in names]
    if len(set(keys)) < len(keys):
        raise MinerError(f"Two names in {found.origin} have the same key. Give other names with --keys.")
    columns: dict[str, Sequence[object]] = {"key": keys, "path": [printable(name) for name in names]}
    if found.labels is not None:
        columns["label"] = found.labels.indices[:count]
    return pa.table(
        [pa.array(columns.get(field.name, [None] * count), field.type) for field in METADATA_SCHEMA], METADATA_SCHEMA
    )
