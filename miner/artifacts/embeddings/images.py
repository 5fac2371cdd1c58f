"""The two tables of embedded images: the metadata of those that have a vector, and the reasons of those that have none."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

METADATA_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("path", pa.string()),
        ("label", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("extension", pa.string()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
    ]
)
ERROR_SCHEMA = pa.schema([("key", pa.string()), ("path", pa.string()), ("reason", pa.string())])


class EmbeddedImage(NamedTuple):
    """An image that has a vector: one row of the metadata table.

    Attributes:
        width, height: the width and height of the upright original, in pixels.
        size_bytes: the size of the encoded image; the column is called `bytes`.
    """

    key: str
    path: str
    label: int | None
    width: int
    height: int
    extension: str
    size_bytes: int
    sha256: str


class UnusableImage(NamedTuple):
    """An image that has no vector, and why: one row of the error table."""

    key: str
    path: str
    reason: str


def class_name(label: int, classes: Sequence[str] | None) -> str:
    """The name of a label, or "class" and its number where it has no name."""
    return classes[label] if classes and label < len(classes) else f"class {label}"


def embedded_images(table: pa.Table) -> list[EmbeddedImage]:
    """The rows of a metadata table."""
    columns = (table[name].to_pylist() for name in METADATA_SCHEMA.names)
    return [EmbeddedImage(*row) for row in zip(*columns, strict=True)]


def table_of_rows(rows: Sequence[EmbeddedImage] | Sequence[UnusableImage], schema: pa.Schema) -> pa.Table:
    """The metadata table (`METADATA_SCHEMA`) or the error table (`ERROR_SCHEMA`), in the order of the rows."""
    columns: list[tuple[object, ...]] = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema)
