"""What the pages of a Parquet file say of themselves, which may be more than its footer says of them.

Each page begins with a header in Thrift's compact protocol: a structure of fields that have a number and a type.
"""

from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow.parquet as pq

# Fields of a header: the unpacked and the packed size of its page, and the structure for data, of the first or second version.
_UNPACKED, _PACKED, _DATA, _DATA_V2 = 2, 3, 5, 8
_VALUES = 1
_TRUE, _FALSE, _I32, _I64, _BINARY, _STRUCT = 1, 2, 5, 6, 8, 12
_USUAL_HEADER_BYTES, _LONGEST_HEADER_BYTES = 1 << 10, 1 << 24
_DEEPEST = 8


class Unpacked(NamedTuple):
    """Of a column of a row group: bytes without packing, and values."""

    size_bytes: int
    values: int


def stated_by_footer(chunk: "pq.ColumnChunkMetaData") -> Unpacked:
    """What the footer says of a column of a row group."""
    return Unpacked(chunk.total_uncompressed_size, chunk.num_values)


def stated_by_pages(stream: IO[bytes], chunk: "pq.ColumnChunkMetaData") -> Unpacked:
    """What the footer or the pages of a column of a row group say, whichever is more. Headers of pages are read alone.

    Raises:
        OSError: there is no page where one should be.
    """
    at, size_bytes, values = chunk.data_page_offset, 0, 0
    if chunk.has_dictionary_page:
        at = min(at, chunk.dictionary_page_offset)
    end = at + chunk.total_compressed_size
    while at < end and values < chunk.num_values:
        header, start = _header(stream, at)
        try:
            unpacked, packed = int(header[_UNPACKED]), int(header[_PACKED])
            count = sum(int(header[kind][_VALUES]) for kind in (_DATA, _DATA_V2) if kind in header)
        except (KeyError, TypeError):
            unpacked = packed = count = -1
        if min(unpacked, packed, count) < 0:
            raise OSError(f"there is no page at byte {at:,}")
        at = start + packed
        size_bytes += unpacked
        values += count
    stated = stated_by_footer(chunk)
    return Unpacked(max(size_bytes, stated.size_bytes), max(values, stated.values))


def _header(stream: IO[bytes], at: int) -> tuple[dict[int, Any], int]:
    """The numbers and structures of the header at an offset, by field; and the offset of its page."""
    for most_bytes in (_USUAL_HEADER_BYTES, _LONGEST_HEADER_BYTES):
        stream.seek(at)
        data = stream.read(most_bytes)
        try:
            fields, length = _struct(data, 0, _DEEPEST)
        except IndexError:
            continue
        return fields, at + length
    raise OSError(f"there is no page at byte {at:,}")


def _struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    fields: dict[int, Any] = {}
    number = 0
    while kind := data[at]:
        number, at = (number + (kind >> 4), at + 1) if kind >> 4 else _signed(data, at + 1)
        kind &= 15
        if kind in (_I32, _I64):
            fields[number], at = _signed(data, at)
        elif kind == _STRUCT and depth:
            fields[number], at = _struct(data, at, depth - 1)
        elif kind == _BINARY:
            length, at = _varint(data, at)
            at += length
        elif kind not in (_TRUE, _FALSE):
            raise OSError(f"a header of a page has a field of the type {kind}")
    return fields, at + 1


def _signed(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return value >> 1 ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits per byte, the lowest first; and where it ends."""
    value = shift = 0
    while shift < 70:
        byte = data[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at
    raise OSError("a header of a page has a number of more than ten bytes")
