"""Metadata of images: columns of a table by key, of the source's own JSON or Parquet, and the folder of an image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import compute as pc

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.foreign_table import read_foreign_table
from miner.errors import MinerError, UsageError
from miner.source.base import SourceWithFields

FOLDER = "folder"
_NAMES = ("key", "path")


def read_metadata_columns(
    names: Sequence[str], store: EmbeddingStore, table: Path | None
) -> Mapping[str, Sequence[Any]]:
    """The values of some columns for all embedded images, in the order of their rows; None where an image has none.

    A column is that of `table`, if it has one of that name; or else `folder` is the folder of the image's path; or else it is a
    field of the source: the JSON of its shards, or a column of its Parquet files.

    Raises:
        UsageError: there is no such column, or no image has a value in it.
        MinerError: the table or the source cannot be read, or the table lists an image twice.
    """
    found = _columns_of_table(names, store, table) if table else {}
    if FOLDER in names and FOLDER not in found:
        found[FOLDER] = [path.rpartition("/")[0] for path in store.metadata["path"].to_pylist()]
    missing = [name for name in names if name not in found]
    if missing:
        found |= _fields_of_source(missing, store, table)
    for name in names:
        if all(value in (None, "") for value in found[name]):
            raise UsageError(f"No image has a value of {name!r} in {table or store.manifest.source.spec}.")
    return found


def _columns_of_table(names: Sequence[str], store: EmbeddingStore, path: Path) -> dict[str, list[Any]]:
    table = read_foreign_table(path, "--metadata")
    by = next((name for name in _NAMES if name in table.column_names), None)
    if by is None:
        raise UsageError(
            f"{path} has neither a column `key` nor a column `path`, which name the images (columns: "
            f"{', '.join(table.column_names)[:300]})."
        )
    if not len(table):
        raise UsageError(f"{path} has no rows. It needs one for each image whose columns are compared.")
    listed = table[by].cast(pa.string()).combine_chunks()
    counts = pc.value_counts(listed.drop_null())
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        raise MinerError(f"{path} lists the image {twice[0]['values']} {twice[0]['counts']} times. Keep one row of it.")
    places = pc.index_in(store.metadata[by].combine_chunks(), value_set=listed)
    if places.null_count == len(places):
        raise UsageError(
            f"No {by} in {path} is that of an embedded image. There the first is {listed[0]}; that of the first image "
            f"is {store.metadata[by][0]}."
        )
    return {name: table[name].combine_chunks().take(places).to_pylist() for name in names if name in table.column_names}


def _fields_of_source(names: Sequence[str], store: EmbeddingStore, table: Path | None) -> dict[str, list[Any]]:
    source = store.manifest.source.open()
    if not isinstance(source, SourceWithFields):
        where = f"{table} has no such column, and " if table else ""
        raise UsageError(
            f"There is no metadata column {names[0]!r}: {where}{store.manifest.source.spec} has no JSON or Parquet columns. Give a "
            f"table with --metadata FILE, or use the column {FOLDER}."
        )
    fields = source.fields(names)
    places = pc.index_in(store.metadata["key"].combine_chunks(), pa.array([entry.key for entry in source.entries]))
    return {
        name: [None if place is None else values[place] for place in places.to_pylist()]
        for name, values in fields.items()
    }
