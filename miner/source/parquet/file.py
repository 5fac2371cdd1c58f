"""One Parquet file of images: its rows without the images, and the images of a row group."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from miner.errors import MinerError
from miner.source.base import as_os_error
from miner.source.foreign import PARQUET, foreign_file
from miner.source.kinds import SNIFFED_BYTES, image_extension, sniffed_extension
from miner.source.labels import RawLabel, parse_label
from miner.source.listing import file_facts
from miner.source.location import locate
from miner.source.parquet.pages import Unpacked, stated_by_footer, stated_by_pages
from miner.source.parquet.values import image_bytes, label_of, path_of, short_value
from miner.text import counted

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from miner.source.parquet.columns import Columns

_MANY_ROWS, _LEAST_ROW_BYTES = 1_000_000, 16
_BYTES_PER_VALUE = 16  # of its place in a column, whatever its length
_MOST_BYTES_OF_ONE = {"UNCOMPRESSED": 1, "SNAPPY": 22}  # by codec: what a packed byte unpacks to at most


@dataclass(frozen=True)
class ImageFile:
    """One file.

    A value that a file states once and repeats in many rows takes memory once, because byte columns are read as dictionaries.
    Where the encoding does not allow that, rows are read in steps that stay below the limit.

    Attributes:
        footer: the metadata of the file, kept so that it is read only once.
        limit_bytes: what a column of a row group may take in memory.
        image: the column of images.
    """

    url: str
    footer: "pq.FileMetaData"
    limit_bytes: int
    image: str = ""

    def group_bytes(self, group: int, column: str) -> int:
        """Bytes of a column of a row group as they are stored, without packing.

        Raises:
            MinerError: they take more memory than may be taken.
        """
        stored, chunk = self._chunk(group, column)
        return self._checked(column, stored, stated_by_footer(chunk))

    def _checked(self, column: str, stored: "pq.ColumnSchema", found: Unpacked) -> int:
        size, values = found
        width = stored.length if stored.physical_type == "FIXED_LEN_BYTE_ARRAY" else 0
        if not 0 <= max(size, values * width) + values * _BYTES_PER_VALUE <= self.limit_bytes:
            raise MinerError(
                f"{self.url} has a row group of {size / 2**30:.1f} GiB and {counted(values, 'value')} in the column "
                f"{column}. A row group "
                f"is read as a whole, and may take {self.limit_bytes / 2**30:.1f} GiB here. Write the file again with smaller "
                "ones, for example pyarrow.parquet.write_table(table, path, row_group_size=100)."
            )
        return size

    def read_group(self, group: int) -> "pa.ChunkedArray":
        """The image column of a row group.

        Raises:
            OSError: it takes more memory than may be taken, because the file repeats bytes.
        """
        import pyarrow as pa

        parts: list[pa.Array] = []
        for part in self.parts(group, self.image):
            parts.append(part)
            if sum(part.nbytes for part in parts) > self.limit_bytes:
                raise OSError(f"row group {group} unpacks to more than {self.limit_bytes / 2**30:.1f} GiB")
        return pa.chunked_array(parts)

    def read_fields(self, names: Sequence[str]) -> dict[str, list[Any]]:
        """Some top-level columns; None in all rows of a column that the file does not have.

        Raises:
            MinerError: a column takes more memory than may be taken, or a value of it is long.
        """
        held = set(self.footer.schema.to_arrow_schema().names) & {*names}
        groups = range(self.footer.num_row_groups)
        return {
            name: [short_value(value) for group in groups for part in self.parts(group, name) for value in part]
            if name in held
            else [None] * self.footer.num_rows
            for name in names
        }

    def parts(self, group: int, column: str, most_rows: int = sys.maxsize) -> "Iterator[pa.Array]":
        """A column of a row group in parts, each of at most `most_rows` rows and within the limit.

        Raises:
            MinerError: the column takes more memory than may be taken.
        """
        stored, chunk = self._chunk(group, column)
        rows = max(1, min(most_rows, self.footer.row_group(group).num_rows))
        shares_starts = (
            "DELTA_BYTE_ARRAY" in chunk.encodings
        )  # no dictionary, and each value may be as long as the chunk
        size = self._checked(column, stored, self._stated(stored, chunk))
        if shares_starts:
            rows = max(1, min(rows, self.limit_bytes // (size + 1)))
        names = [chunk.path_in_schema]
        with _opened(self.url, self.footer, [] if shares_starts else names) as parquet:
            for batch in parquet.iter_batches(rows, row_groups=[group], columns=names, use_threads=False):
                yield batch.column(0)

    def first_kind(self, column: str) -> str:
        """The ending that fits the first image of a column; "" if it holds no images."""
        for part in self.parts(0, column, most_rows=16) if self.footer.num_row_groups else ():
            for row in range(len(part)):
                try:
                    return sniffed_extension(image_bytes(part, row)[:SNIFFED_BYTES])
                except OSError:
                    continue
        return ""

    def _stated(self, stored: "pq.ColumnSchema", chunk: "pq.ColumnChunkMetaData") -> Unpacked:
        """What the file says of a column of a row group. The footer may be wrong: where that matters, the pages are asked."""
        most = chunk.total_compressed_size * _MOST_BYTES_OF_ONE.get(chunk.compression, sys.maxsize)
        if most <= self.limit_bytes and not stored.max_repetition_level:
            return stated_by_footer(chunk)
        files, path = locate(self.url)
        with files.open(path, "rb") as stream:
            return stated_by_pages(stream, chunk)

    def _chunk(self, group: int, column: str) -> "tuple[pq.ColumnSchema, pq.ColumnChunkMetaData]":
        """How and where a column is stored, of a struct its `bytes`."""
        found = [at for at, path in enumerate(self._paths) if f"{path}.".startswith(f"{column}.")]
        at = next((at for at in found if self._paths[at].endswith(".bytes")), found[0])
        return self.footer.schema.column(at), self.footer.row_group(group).column(at)

    @cached_property
    def _paths(self) -> list[str]:
        schema = self.footer.schema
        return [schema.column(at).path for at in range(len(schema))]


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
    url: str, image_column: str | None, label_column: str | None, limit_bytes: int
) -> tuple[ImageFile, "Columns", list[FileRow]]:
    """Open a file, choose its columns, and read the names and labels of its images.

    Args:
        limit_bytes: what a column of a row group may take in memory.
    Raises:
        UsageError: the image or the label column has to be named.
        MinerError: the file is damaged, has no column of images, or too large a row group, or too many rows.
    """
    from miner.source.parquet.columns import NO_COLUMN, find_columns, partition_label

    try:
        with as_os_error(url), _opened(url) as parquet:
            file = ImageFile(url, parquet.metadata, limit_bytes)
            _check_rows(file)
            schema = parquet.schema_arrow
            label = partition_label(url, schema.names, label_column)
            columns = find_columns(
                url,
                schema,
                image_column,
                label_column if label is None else NO_COLUMN,
                lambda name: bool(file.first_kind(name)),
            )
            file = replace(file, image=columns.image)
            return file, columns, list(_rows(file, columns, label))
    except OSError as error:
        raise MinerError(
            f"{url} is damaged or no Parquet file{foreign_file(url, PARQUET)}: {error}. Fetch or write it again, or leave it out."
        ) from error


@contextmanager
def _opened(
    url: str, footer: "pq.FileMetaData | None" = None, dictionaries: Sequence[str] = ()
) -> "Iterator[pq.ParquetFile]":
    import pyarrow.parquet as pq

    files, path = locate(url)
    opened = files.open(path, "rb")
    with opened as stream, pq.ParquetFile(stream, metadata=footer, read_dictionary=[*dictionaries]) as parquet:
        yield parquet


def _check_rows(file: ImageFile) -> None:
    """Refuse a file that repeats one row so often that a list of its rows fills the memory.

    Raises:
        MinerError: it has more rows than images fit into its bytes.
    """
    groups = range(file.footer.num_row_groups)
    rows = max(file.footer.num_rows, sum(file.footer.row_group(group).num_rows for group in groups))
    size = file_facts(file.url).size_bytes
    if rows > _MANY_ROWS and rows * _LEAST_ROW_BYTES > size:
        raise MinerError(
            f"{file.url} states {counted(rows, 'row')} in {size:,} bytes, too few for an image in each. Leave it out."
        )


def _rows(file: ImageFile, columns: "Columns", label: bytes | None) -> Iterator[FileRow]:
    """The rows; `label` is the label of all of them, if the folder of the file states it."""
    stated = [file.group_bytes(group, columns.image) for group in range(file.footer.num_row_groups)]
    usual = ""
    for group, group_bytes in enumerate(stated):
        rows = file.footer.row_group(group).num_rows
        paths = _paths(file, columns, group) if columns.has_path else repeat(None, rows)
        labels = _labels(file, columns.label, group) if columns.label else repeat(parse_label(label), rows)
        for row, (path, found) in enumerate(zip(paths, labels, strict=True)):
            extension = image_extension(path or "") or usual
            if not extension:
                extension = usual = file.first_kind(columns.image) or "jpg"
            yield FileRow(path, extension, group_bytes // rows, found, group, row)


def _paths(file: ImageFile, columns: "Columns", group: int) -> Iterator[str | None]:
    for part in file.parts(group, f"{columns.image}.path"):
        for image in part:
            try:
                yield path_of(image)
            except MinerError as error:
                raise MinerError(f"{file.url}: {error}. Write it again with names that file systems allow.") from error


def _labels(file: ImageFile, column: str, group: int) -> Iterator[RawLabel]:
    for part in file.parts(group, column):
        yield from map(label_of, part)
