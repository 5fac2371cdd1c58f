"""A source of Parquet files with encoded images in a column, as on the Hugging Face Hub."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import fsspec

from miner.errors import MinerError
from miner.source.base import IMAGE_EXTENSIONS, Entry, as_os_error, check_size
from miner.source.keys import hashed_key, is_clean, printable
from miner.source.labels import RawLabel, index_labels, parse_label
from miner.source.parquet.cache import ByteBoundCache
from miner.source.patterns import expand, short_names

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from miner.source.parquet.columns import Columns

_KEPT_BYTES = 256 << 20
LARGEST_GROUP_BYTES = 4 << 30
_SIGNATURES = {
    b"\xff\xd8": "jpg",
    b"\x89PNG": "png",
    b"RIFF": "webp",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"II*\0": "tif",
    b"MM\0*": "tif",
}


class _Place(NamedTuple):
    file: int
    group: int
    row: int


@dataclass(frozen=True)
class _File:
    """One file.

    Attributes:
        url: of the file.
        name: of the file, unique in the source.
        column: of the image bytes.
        footer: the metadata of the file, kept so that it is read only once.
    """

    url: str
    name: str
    column: str
    footer: "pq.FileMetaData"


@dataclass(frozen=True)
class _Row:
    file: str
    number: int
    path: str | None
    extension: str
    mean_bytes: int
    label: RawLabel
    place: _Place


class ParquetSource:
    """Images in a column of Parquet files (local or fsspec URLs; braces and globs): a struct of bytes and path, or binary.

    Labels come from a column of integers or names, class names from the notes of the `datasets` library in the schema. Opening
    the source reads names and labels only. Image bytes are read by row group; the groups that were used last are kept.

    Args:
        spec: what the user typed.
        urls: the files, if the spec itself does not name them.
        largest_group_bytes: of the images in a row group.
    Raises:
        MinerError: no file matches; a file is damaged, has no image column or too large a row group; files disagree on the
            class names; or there is no row.
    """

    def __init__(
        self, spec: str, urls: Sequence[str] | None = None, largest_group_bytes: int = LARGEST_GROUP_BYTES
    ) -> None:
        self.spec = spec
        urls = expand(spec, "Parquet file") if urls is None else urls
        self._files: list[_File] = []
        classes: list[str] | None = None
        rows: list[_Row] = []
        for url, name in zip(urls, short_names(urls), strict=True):
            file, columns, found = _open(url, name.removesuffix(".parquet"), len(self._files), largest_group_bytes)
            if classes and columns.classes and classes != columns.classes:
                raise MinerError(f"{url} has other class names than the files before it. Name files of one data set.")
            classes = classes or columns.classes
            self._files.append(file)
            rows += found
        if not rows:
            raise MinerError(f"No row in the Parquet files {spec}.")
        labels, self.classes = index_labels([row.label for row in rows], classes)
        self.entries = [
            Entry(key, _shown(row), row.extension, row.mean_bytes, label, row.place)
            for row, key, label in zip(rows, _keys(rows), labels, strict=True)
        ]
        self._groups: ByteBoundCache[pa.ChunkedArray] = ByteBoundCache(_KEPT_BYTES, _nbytes)

    def read(self, entry: Entry) -> bytes:
        place: _Place = entry.locator
        file = self._files[place.file]
        with as_os_error(file.url):
            column = self._groups.get((place.file, place.group), lambda: _read_group(file, place.group))
            data = _image_bytes(column, place.row)
        if data is None:
            raise OSError("no image bytes in this row")
        check_size(len(data))
        return data


def is_parquet(spec: str) -> bool:
    """Whether a source names Parquet files."""
    return spec.endswith(".parquet")


def _open(url: str, name: str, number: int, largest_group_bytes: int) -> "tuple[_File, Columns, list[_Row]]":
    """Open a file and read the names and labels of its images."""
    import pyarrow.parquet as pq

    from miner.source.parquet.columns import find_columns

    try:
        with as_os_error(url), fsspec.open(url, "rb") as stream, pq.ParquetFile(stream) as parquet:
            columns = find_columns(parquet.schema_arrow)
            if columns is None:
                raise MinerError(
                    f"{url} has no column of image bytes (columns: {', '.join(parquet.schema_arrow.names)[:300]}). Images are "
                    "expected as a struct of `bytes` and `path`, or as a binary column."
                )
            file = _File(url, name, columns.image, parquet.metadata)
            _check_groups(file, largest_group_bytes)
            table = parquet.read([column for column in (columns.path, columns.label) if column], use_threads=False)
            return file, columns, _rows(file, number, columns, table)
    except MinerError:
        raise
    except OSError as error:
        raise MinerError(f"{url} is damaged or no Parquet file: {error}. Remove it or fetch it again.") from error


def _rows(file: _File, number: int, columns: "Columns", table: "pa.Table") -> list[_Row]:
    footer = file.footer
    names = _paths(table, columns, footer.num_rows)
    labels = table[columns.label].to_pylist() if columns.label else [None] * footer.num_rows
    endings = [(path or "").rpartition(".")[2].lower() for path in names]
    usual = None if all(ending in IMAGE_EXTENSIONS for ending in endings) else _usual_extension(file)
    rows: list[_Row] = []
    for group in range(footer.num_row_groups):
        group_bytes, group_rows = _column_bytes(file, group), footer.row_group(group).num_rows
        for row in range(group_rows):
            at = len(rows)
            extension = endings[at] if endings[at] in IMAGE_EXTENSIONS else usual or "jpg"
            mean_bytes = group_bytes // group_rows
            place = _Place(number, group, row)
            rows.append(_Row(file.name, at, names[at], extension, mean_bytes, parse_label(labels[at]), place))
    return rows


def _paths(table: "pa.Table", columns: "Columns", rows: int) -> list[str | None]:
    if columns.path is None:
        return [None] * rows
    import pyarrow.compute as pc

    column = pc.struct_field(table[columns.path.removesuffix(".path")], "path")
    return [path if isinstance(path, str) and path else None for path in column.to_pylist()]


def _column_bytes(file: _File, group: int) -> int:
    """Bytes of all images of a row group, unpacked."""
    row_group = file.footer.row_group(group)
    columns = (row_group.column(index) for index in range(row_group.num_columns))
    return int(next(column.total_uncompressed_size for column in columns if column.path_in_schema == file.column))


def _check_groups(file: _File, largest_bytes: int) -> None:
    """Refuse a file before a row group of it is read.

    Raises:
        MinerError: a row group holds more bytes of images than may be read at once.
    """
    for group in range(file.footer.num_row_groups):
        size = _column_bytes(file, group)
        if not 0 <= size <= largest_bytes:
            raise MinerError(
                f"{file.url} has a row group of {size / 2**30:.1f} GiB of images, and a row group is read as a whole. Write the "
                "file again with smaller ones, for example pyarrow.parquet.write_table(table, path, row_group_size=100)."
            )


def _read_group(file: _File, group: int) -> "pa.ChunkedArray":
    """The image column of a row group: binary, or a struct with `bytes`."""
    import pyarrow.parquet as pq

    with fsspec.open(file.url, "rb") as stream, pq.ParquetFile(stream, metadata=file.footer) as parquet:
        return parquet.read_row_group(group, [file.column], use_threads=False).column(0)


def _image_bytes(column: "pa.ChunkedArray", row: int) -> bytes | None:
    value = column[row].as_py()
    data = value.get("bytes") if isinstance(value, dict) else value
    return data if isinstance(data, bytes) else None


def _usual_extension(file: _File) -> str:
    """The file ending that fits the format of a file's first image."""
    import pyarrow.parquet as pq

    with fsspec.open(file.url, "rb") as stream, pq.ParquetFile(stream, metadata=file.footer) as parquet:
        for batch in parquet.iter_batches(1, columns=[file.column], use_threads=False):
            start = _image_bytes(batch.column(0), 0) or b""
            return next((ending for magic, ending in _SIGNATURES.items() if start.startswith(magic)), "jpg")
    return "jpg"


def _keys(rows: Sequence[_Row]) -> list[str]:
    """Keys: from the image's own name if no other image has this name, or else from the file and the row."""
    paths = Counter(row.path for row in rows)
    stems = Counter((path or "").rpartition(".")[0] or path for path in paths)

    def key(row: _Row) -> str:
        if row.path is None or paths[row.path] > 1:
            return hashed_key(f"{row.file}/{row.number}")
        stem = row.path.rpartition(".")[0] or row.path
        return stem if is_clean(stem) and stems[stem] == 1 else hashed_key(row.path)

    return [key(row) for row in rows]


def _shown(row: _Row) -> str:
    return printable(f"{row.file}.parquet/{row.path or row.number}")


def _nbytes(column: "pa.ChunkedArray") -> int:
    return int(column.nbytes)
