"""The columns of a Parquet schema that hold the image, its name and its label."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_IMAGE_COLUMNS = ("image", "img", "jpg", "png", "webp", "jpeg", "picture", "pixel_values", "bytes", "image_bytes")
_LABEL_COLUMNS = ("label", "labels", "fine_label", "cls", "class", "category")


@dataclass(frozen=True)
class Columns:
    """Columns by their names in pyarrow (`image.bytes` is a field of a struct).

    Attributes:
        image: the encoded images, binary.
        path: the images' file names; None if the schema has none.
        label: integers or names; None if the schema has none.
        classes: class names by label, from the schema.
    """

    image: str
    path: str | None
    label: str | None
    classes: list[str] | None


def find_columns(schema: "pa.Schema") -> Columns | None:
    """The columns that the Hugging Face `datasets` library writes, or a plain binary column; None if there is no image.

    The image is the column that the library marked as one, or else a struct with `bytes`, or else a binary column. Of several
    such columns it is the first with a usual name, or else the first. The label is a column with a usual name, or else the
    first column that the library marked as ClassLabel.
    """
    import pyarrow as pa

    features = _features(schema)
    structs = {name for name in schema.names if _has_bytes(schema.field(name).type)}
    binaries = {name for name in schema.names if _is_binary(schema.field(name).type)}
    marked = {name for name in structs | binaries if features.get(name, {}).get("_type") == "Image"}
    for candidates in (marked, structs, binaries):
        if candidates:
            image = _first(schema, candidates, _IMAGE_COLUMNS)
            break
    else:
        return None
    has_path = image in structs and schema.field(image).type.get_field_index("path") >= 0
    class_labels = {name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"}
    usual = {
        name
        for name in schema.names
        if name in _LABEL_COLUMNS and (pa.types.is_integer(kind := schema.field(name).type) or _is_text(kind))
    }
    label = _first(schema, usual or class_labels, _LABEL_COLUMNS) if usual or class_labels else None
    return Columns(
        image=f"{image}.bytes" if image in structs else image,
        path=f"{image}.path" if has_path else None,
        label=label,
        classes=_class_names(features.get(label, {})) if label else None,
    )


def _features(schema: "pa.Schema") -> dict[str, dict[str, Any]]:
    """The notes of the `datasets` library about each column; empty if another library wrote the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    if not isinstance(features, dict):
        return {}
    return {name: feature for name, feature in features.items() if isinstance(feature, dict)}


def _class_names(feature: dict[str, Any]) -> list[str] | None:
    names = feature.get("names")
    return [str(name) for name in names] if feature.get("_type") == "ClassLabel" and isinstance(names, list) else None


def _first(schema: "pa.Schema", names: set[str], usual: tuple[str, ...]) -> str:
    return next((name for name in usual if name in names), next(name for name in schema.names if name in names))


def _has_bytes(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 and _is_binary(kind.field("bytes").type)


def _is_binary(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
