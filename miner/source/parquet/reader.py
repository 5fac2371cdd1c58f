"""A source of Parquet files with encoded images in a column, as on the Hugging Face Hub."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from miner.errors import MinerError
from miner.machine.memory import free_bytes
from miner.source.base import Entry, LeftOut, as_os_error, check_size
from miner.source.keys import hashed_key, is_clean, printable
from miner.source.labels import index_labels
from miner.source.listing import file_facts
from miner.source.parquet.cache import ByteBoundCache
from miner.source.parquet.file import FileRow, ImageFile, open_file
from miner.source.parquet.values import image_bytes
from miner.source.patterns import expand, short_names

if TYPE_CHECKING:
    import pyarrow as pa

_KEPT_BYTES = 256 << 20
_LARGEST_GROUP_BYTES = 4 << 30
_SHARE_OF_FREE = 4  # a group is packed, then unpacked, then copied, while another one is still in use
_ENDING = ".parquet"


class _Place(NamedTuple):
    file: int
    group: int
    row: int


class _Row(NamedTuple):
    """A row of a file.

    Attributes:
        file: number of the file.
        name: the name of the file, unique in the source.
        number: the number of the row in the file.
        facts: what the file says about it.
    """

    file: int
    name: str
    number: int
    facts: FileRow


class ParquetSource:
    """Images in a column of Parquet files (local or fsspec URLs; braces and globs): a struct of bytes and path, or binary.

    Labels come from a column of numbers or names, class names from the notes of the `datasets` library in the schema. Opening
    the source reads names and labels only. Image bytes are read by row group; the groups that were used last are kept.

    Args:
        spec: what the user typed.
        urls: the files, if the spec itself does not name them.
        image_column, label_column: columns that the user chose; see `find_columns`.
        largest_group_bytes: the largest size of the images in a row group; smaller if little memory is free.
    Raises:
        UsageError: the image or the label column has to be named.
        MinerError: no file matches; a file is damaged, has no image column or too large a row group; files disagree on the
            class names; or there is no row.
    """

    def __init__(
        self,
        spec: str,
        urls: Sequence[str] | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
        largest_group_bytes: int = _LARGEST_GROUP_BYTES,
    ) -> None:
        self.spec = spec
        urls = expand(spec, "Parquet file") if urls is None else urls
        self._files: list[ImageFile] = []
        limit = min(largest_group_bytes, free_bytes() // _SHARE_OF_FREE)
        classes: list[str] | None = None
        rows: list[_Row] = []
        for number, (url, name) in enumerate(zip(urls, short_names(urls), strict=True)):
            file, columns, found = open_file(url, image_column, label_column, limit)
            if classes and columns.classes and classes != columns.classes:
                raise MinerError(f"{url} has other class names than the files before it. Name files of one data set.")
            classes = classes or columns.classes
            self._files.append(file)
            rows += [_Row(number, name, at, facts) for at, facts in enumerate(found)]
        if not rows:
            raise MinerError(f"No row in the Parquet files {spec}.")
        labels, self.classes, dropped = index_labels([row.facts.label for row in rows], classes)
        self.left_out = LeftOut(labels=dropped)
        versions = [file_facts(url).version for url in urls]
        self.entries = [
            Entry(key, _shown(row), row.facts.extension, row.facts.mean_bytes, label, _place(row), versions[row.file])
            for row, key, label in zip(rows, _keys(rows), labels, strict=True)
        ]
        self._groups: ByteBoundCache[pa.ChunkedArray] = ByteBoundCache(_KEPT_BYTES, _nbytes)

    def read(self, entry: Entry) -> bytes:
        place: _Place = entry.locator
        file = self._files[place.file]
        with as_os_error(file.url):
            column = self._groups.get((place.file, place.group), lambda: file.read_group(place.group))
            data = image_bytes(column, place.row)
        check_size(len(data))
        return data

    def fields(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Some columns of the files."""
        found: list[dict[str, list[Any]]] = []
        for file in self._files:
            with as_os_error(file.url):
                found.append(file.read_fields(names))
        return {name: [value for columns in found for value in columns[name]] for name in names}


def is_parquet(spec: str) -> bool:
    """Whether a source names Parquet files."""
    return spec.lower().endswith(_ENDING)


def _place(row: _Row) -> _Place:
    return _Place(row.file, row.facts.group, row.facts.row)


def _keys(rows: Sequence[_Row]) -> list[str]:
    """Keys: from the image's own name if no other image has this name, or else from the file and the row."""
    paths = Counter(row.facts.path for row in rows)
    stems = Counter((path or "").rpartition(".")[0] or path for path in paths)

    def key(row: _Row) -> str:
        path = row.facts.path
        if path is None or paths[path] > 1:
            return hashed_key(f"{row.name.removesuffix(_ENDING)}/{row.number}")
        stem = path.rpartition(".")[0] or path
        return stem if is_clean(stem) and stems[stem] == 1 else hashed_key(path)

    return [key(row) for row in rows]


def _shown(row: _Row) -> str:
    return printable(f"{row.name}/{row.facts.path or row.number}")


def _nbytes(column: "pa.ChunkedArray") -> int:
    return int(column.nbytes)
