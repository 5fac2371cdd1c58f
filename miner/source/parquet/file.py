"""One Parquet file of images: its rows without the images, and the images of a row group."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from miner.errors import MinerError
from miner.source.base import as_os_error
from miner.source.foreign import foreign_file
from miner.source.kinds import SNIFFED_BYTES, image_extension, sniffed_extension
from miner.source.labels import RawLabel, parse_label
from miner.source.location import locate

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from miner.source.parquet.columns import Columns

LARGEST_GROUP_BYTES = 4 << 30


@dataclass(frozen=True)
class ImageFile:
    """One file.

    Attributes:
        columns: the columns of the images and labels.
        leaf: path of the column of image bytes in the file's own terms, such as `image.bytes`.
        footer: the metadata of the file, kept so that it is read only once.
    """

    url: str
    columns: "Columns"
    leaf: str
    footer: "pq.FileMetaData"

    def group_bytes(self, group: int) -> int:
        """Bytes of all images of a row group, unpacked."""
        row_group = self.footer.row_group(group)
        columns = (row_group.column(index) for index in range(row_group.num_columns))
        return int(next(column.total_uncompressed_size for column in columns if column.path_in_schema == self.leaf))

    def read_fields(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Some top-level columns; None in all rows of a column that the file does not have."""
        with _opened(self.url, self.footer) as parquet:
            held = [name for name in names if name in parquet.schema_arrow.names]
            columns = parquet.read(held, use_threads=False).to_pydict()
        return {name: columns.get(name, [None] * self.footer.num_rows) for name in names}

    def read_group(self, group: int) -> "pa.ChunkedArray":
        """The image column of a row group."""
        with _opened(self.url, self.footer) as parquet:
            return parquet.read_row_group(group, [self.leaf], use_threads=False).column(0)


class FileRow(NamedTuple):
    """An image of a file, without its bytes.

    Attributes:
        path: the image's file name, if the file states it.
        extension: for the image.
        mean_bytes: the mean size of the images in the row group.
        label: the label as found.
        group, row: number of the row group, and of the row in it.
    """

    path: str | None
    extension: str
    mean_bytes: int
    label: RawLabel
    group: int
    row: int


def open_file(
    url: str, image_column: str | None, label_column: str | None, largest_group_bytes: int
) -> tuple[ImageFile, list[FileRow]]:
    """Open a file and read the names and labels of its images.

    Raises:
        UsageError: the image or the label column has to be named.
        MinerError: the file is damaged, has no column of images, or too large a row group.
    """
    from miner.source.parquet.columns import NO_COLUMN, find_columns, partition_label

    try:
        with as_os_error(url), _opened(url) as parquet:
            schema = parquet.schema_arrow
            label = partition_label(url, schema.names, label_column)
            columns = find_columns(
                url,
                schema,
                image_column,
                label_column if label is None else NO_COLUMN,
                lambda name: bool(_first_kind(parquet, name)),
            )
            file = ImageFile(url, columns, _leaf(parquet, columns.image), parquet.metadata)
            _check_groups(file, largest_group_bytes)
            return file, list(_rows(file, parquet, label))
    except OSError as error:
        raise MinerError(
            f"{url} is damaged or no Parquet file{foreign_file(url)}: {error}. Fetch or write it again, or leave it out."
        ) from error


def image_bytes(column: "pa.ChunkedArray", row: int) -> bytes:
    """The encoded image in a row of an image column.

    Raises:
        OSError: there are no bytes, or several images.
    """
    value: Any = column[row].as_py()
    if isinstance(value, list):
        if len(value) > 1:
            raise OSError(f"{len(value)} images in this row")
        value = value[0] if value else None
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise OSError("no image bytes in this row")
    return data


@contextmanager
def _opened(url: str, footer: "pq.FileMetaData | None" = None) -> "Iterator[pq.ParquetFile]":
    import pyarrow.parquet as pq

    files, path = locate(url)
    with files.open(path, "rb") as stream, pq.ParquetFile(stream, metadata=footer) as parquet:
        yield parquet


def _leaf(parquet: "pq.ParquetFile", image: str) -> str:
    """The path of the bytes in a column of images."""
    paths = [parquet.schema.column(index).path for index in range(len(parquet.schema))]
    below = [path for path in paths if path == image or path.startswith(f"{image}.")]
    return str(next((path for path in below if path.endswith(".bytes")), below[0]))


def _check_groups(file: ImageFile, largest_bytes: int) -> None:
    """Refuse a file before a row group of it is read.

    Raises:
        MinerError: a row group holds more bytes of images than may be read at once.
    """
    for group in range(file.footer.num_row_groups):
        size = file.group_bytes(group)
        if not 0 <= size <= largest_bytes:
            raise MinerError(
                f"{file.url} has a row group of {size / 2**30:.1f} GiB of images, and a row group is read as a whole. Write the "
                "file again with smaller ones, for example pyarrow.parquet.write_table(table, path, row_group_size=100)."
            )


def _rows(file: ImageFile, parquet: "pq.ParquetFile", label: bytes | None) -> Iterator[FileRow]:
    """The rows; `label` is the label of all of them, if the folder of the file states it."""
    columns, footer = file.columns, file.footer
    table = parquet.read(
        [name for name in (f"{columns.image}.path" * columns.has_path, columns.label) if name], use_threads=False
    )
    paths = _paths(table, columns) if columns.has_path else [None] * footer.num_rows
    labels = table[columns.label].to_pylist() if columns.label else [label] * footer.num_rows
    extensions = [image_extension(path or "") for path in paths]
    usual = "" if all(extensions) else _first_kind(parquet, file.leaf) or "jpg"
    at = 0
    for group in range(footer.num_row_groups):
        rows = footer.row_group(group).num_rows
        mean_bytes = file.group_bytes(group) // max(rows, 1)
        for row in range(rows):
            yield FileRow(paths[at], extensions[at] or usual, mean_bytes, parse_label(labels[at]), group, row)
            at += 1


def _paths(table: "pa.Table", columns: "Columns") -> list[str | None]:
    import pyarrow.compute as pc

    column = pc.struct_field(table[columns.image], "path")
    return [path if isinstance(path, str) and path else None for path in column.to_pylist()]


def _first_kind(parquet: "pq.ParquetFile", column: str) -> str:
    """The ending that fits the first image of a column; "" if it holds no images."""
    for batch in parquet.iter_batches(16, row_groups=range(min(parquet.num_row_groups, 1)), columns=[column]):
        for row in range(batch.num_rows):
            try:
                return sniffed_extension(image_bytes(batch.column(0), row)[:SNIFFED_BYTES])
            except OSError:
                continue
    return ""
