"""One part of a source whose files hold several: SOURCE:PART, by a field `split`, a table beside the images, or folders."""

from collections.abc import Sequence

from miner.errors import UsageError
from miner.source.base import Source, SourceWithFields
from miner.source.folder import FolderSource
from miner.source.location import locate
from miner.source.splits import folder_splits, in_order
from miner.source.webdataset.shards import ShardSource

# Usual names of columns that name images, the best first.
KEY_COLUMNS = ("key", "path", "image_path", "file_path", "filepath", "file_name", "filename", "file", "image_id", "id")
_SPLIT = "split"
_MOST_PARTS = 20  # more values are no splits


class PartOfSource:
    """The images of one part of a source.

    Raises:
        UsageError: the source has no such part.
    """

    def __init__(self, whole: Source, part: str) -> None:
        parts = _part_of_each(whole)
        rows = [row for row, found in enumerate(parts) if found == part]
        if not rows:
            known = ", ".join(in_order({*filter(None, parts)})) or "none"
            raise UsageError(f"{whole.spec} has no part {part!r}. Its parts: {known}.")
        self.spec, self.classes, self.left_out = f"{whole.spec}:{part}", whole.classes, whole.left_out
        self.entries = [whole.entries[row] for row in rows]
        self.read = whole.read
        if isinstance(whole, SourceWithFields):
            self.fields = lambda names: {
                name: [values[row] for row in rows] for name, values in whole.fields(names).items()
            }


def parts_inside(source: Source) -> list[str]:
    """The names of the parts of a source, what is trained on first; empty if there are not two."""
    return in_order({*filter(None, _part_of_each(source))})


def mixed_parts(source: Source) -> list[str]:
    """A line if a table or a Parquet file states parts, and all are taken. Shards would be read once more for it."""
    parts = [] if isinstance(source, ShardSource | PartOfSource) else parts_inside(source)
    if not parts:
        return []
    return [
        f"embed: {source.spec} holds the parts {', '.join(parts)}, and all are taken; {source.spec}:{parts[0]} names one"
    ]


def _part_of_each(source: Source) -> Sequence[str | None]:
    """The part of each image, None where nothing states it; None for all if there are not two parts, or very many."""
    fields = source.fields([_SPLIT])[_SPLIT] if isinstance(source, SourceWithFields) else _beside(source)
    stated = [None if field is None else str(field).strip() or None for field in fields]
    for parts in (stated, folder_splits(entry.path for entry in source.entries)):
        if 1 < len({*parts} - {None}) <= _MOST_PARTS:
            return parts
    return [None] * len(source.entries)


def _beside(source: Source) -> list[str | None]:
    """The column `split` of the table beside the images of a folder, by the path or the name of each image."""
    import pyarrow as pa
    from pyarrow import csv

    texts = csv.ConvertOptions(column_types=dict.fromkeys((*KEY_COLUMNS, _SPLIT), pa.string()))
    for place in source.tables if isinstance(source, FolderSource) else ():
        files, path = locate(place)
        lines = csv.ParseOptions(delimiter="\t" if path.endswith(".tsv") else ",", newlines_in_values=True)
        with files.open(path, "rb") as stream:
            table = csv.read_csv(stream, parse_options=lines, convert_options=texts)
        key = next((name for name in KEY_COLUMNS if name in table.column_names), None)
        if key and _SPLIT in table.column_names:
            split = dict(zip(table[key].to_pylist(), table[_SPLIT].to_pylist(), strict=True))
            names = [(path, path.rpartition("/")[2]) for path in (entry.path for entry in source.entries)]
            return [split.get(path, split.get(name, split.get(name.rpartition(".")[0]))) for path, name in names]
    return [None] * len(source.entries)
