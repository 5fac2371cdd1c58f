"""Single values of Parquet columns; the size of each is known before it becomes a Python object."""

from typing import TYPE_CHECKING, Any

from miner.errors import MinerError
from miner.source.base import check_size
from miner.source.keys import printable
from miner.source.labels import MISSING, Dropped, RawLabel, parse_label
from miner.text import counted

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST_PATH = 4096
_LONGEST_LABEL_BYTES = 4096
_LONGEST_FIELD = 65_536


def image_bytes(column: "pa.Array | pa.ChunkedArray", row: int) -> bytes:
    """The encoded image in a row of an image column.

    Raises:
        OSError: there are no bytes, more than an image may have, or several images.
    """
    import pyarrow as pa

    value = _dense(column[row])
    if isinstance(value, pa.ListScalar) and value.is_valid:
        if len(value) > 1:
            raise OSError(f"{counted(len(value), 'image')} in this row")
        value = _dense(value[0]) if len(value) else None
    if isinstance(value, pa.StructScalar) and value.is_valid:
        value = _dense(value["bytes"])
    if not isinstance(value, pa.BinaryScalar) or isinstance(value, pa.StringScalar) or not value.is_valid:
        raise OSError("no image bytes in this row")
    check_size(value.as_buffer().size)
    return value.as_buffer().to_pybytes()  # type: ignore[no-any-return]


def path_of(image: "pa.StructScalar") -> str | None:
    """The file name that a struct states, if there is one.

    Raises:
        MinerError: it is longer than file systems allow.
    """
    import pyarrow as pa

    path = _dense(image["path"]) if image.is_valid else None
    if not isinstance(path, pa.StringScalar | pa.LargeStringScalar | pa.StringViewScalar) or not path.is_valid:
        return None
    if (length := path.as_buffer().size) > _LONGEST_PATH:
        start = path.as_buffer().slice(0, 60).to_pybytes().decode("utf-8", "replace")
        raise MinerError(f"the path of an image has {counted(length, 'character')} ({printable(start)}...)")
    return path.as_py() or None


def label_of(value: "pa.Scalar") -> RawLabel:
    """The label in a row of a label column; see `parse_label`."""
    import pyarrow as pa

    value = _dense(value)
    while isinstance(value, pa.ListScalar) and value.is_valid:
        if len(value) != 1:
            return Dropped("several labels") if len(value) else MISSING
        value = _dense(value[0])
    if not value.is_valid:
        return MISSING
    if isinstance(value, pa.StructScalar):
        return Dropped("value of type dict")
    if isinstance(value, pa.BinaryScalar) and value.as_buffer().size > _LONGEST_LABEL_BYTES:
        return Dropped("long text")
    return parse_label(value.as_py())


def short_value(value: "pa.Scalar") -> Any:
    """A number, a short text, or a short list.

    Raises:
        MinerError: it is longer.
    """
    import pyarrow as pa

    value = _dense(value)
    if value.is_valid and isinstance(value, pa.BinaryScalar | pa.ListScalar):
        length = value.as_buffer().size if isinstance(value, pa.BinaryScalar) else len(value)
        if length > _LONGEST_FIELD:
            raise MinerError(f"A field has the length {length:,}, more than {_LONGEST_FIELD:,}. Name another field.")
    return value.as_py()


def _dense(value: "pa.Scalar") -> "pa.Scalar":
    """The value itself, where a dictionary holds it."""
    import pyarrow as pa

    return value.value if isinstance(value, pa.DictionaryScalar) and value.is_valid else value
