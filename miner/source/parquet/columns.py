"""The columns of a Parquet schema that hold the image, its name and its label."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from miner.errors import MinerError, UsageError
from miner.source.listing import warn

if TYPE_CHECKING:
    import pyarrow as pa

_IMAGE_COLUMNS = ("image", "img", "jpg", "png", "webp", "jpeg", "picture", "pixel_values", "bytes", "image_bytes")
_LABEL_COLUMNS = ("label", "labels", "fine_label", "cls", "class", "category")
_LIKELY = re.compile("label|class|categor|target|species|breed", re.IGNORECASE)
NO_COLUMN = "none"


@dataclass(frozen=True)
class Columns:
    """Top-level columns of a file.

    Attributes:
        image: encoded images: binary, a struct with `bytes`, or lists of one of these.
        has_path: whether the image is a struct with `path`, its file name.
        label: None if the file has none.
        classes: class names by label, from the schema.
    """

    image: str
    has_path: bool
    label: str | None
    classes: list[str] | None


def find_columns(
    url: str, schema: "pa.Schema", image: str | None, label: str | None, holds_images: Callable[[str], bool]
) -> Columns:
    """The columns that the Hugging Face `datasets` library writes, or plain ones.

    Without `image`, the candidates are the columns that the library marked as images; or else structs with `bytes`; or else
    binary columns; or else lists of these. The choice among candidates is the one called `image`; or else the only one with a
    usual name; or else the only one that holds images. Without `label`, the choice is the column `label`; or else the only one
    with a usual name; or else the only one that the library marked as ClassLabel.

    Args:
        url: the URL of the file, for errors.
        image, label: columns that the user chose; `none` reads no labels.
        holds_images: whether the first value of a column is an image.
    Raises:
        UsageError: there are several candidates, or no such column.
        MinerError: there is no column of images.
    """
    features = features_of(schema)
    if image is None:
        image = _image_column(url, schema, features, holds_images)
    elif image not in schema.names or not (_is_image(schema, image) or _is_fixed_binary(schema.field(image).type)):
        raise UsageError(
            f"{url} has no column of image bytes called {image!r} (--image-column). It has {_listed(schema)}."
        )
    if label is None:
        label = _label_column(url, schema, features)
    elif label not in (*schema.names, NO_COLUMN):
        raise UsageError(f"{url} has no column {label!r} (--label-column). It has {_listed(schema)}.")
    kind = schema.field(image).type
    return Columns(
        image=image,
        has_path=_is_struct(kind) and kind.get_field_index("path") >= 0,
        label=None if label == NO_COLUMN else label,
        classes=class_names_of(features.get(label, {})) if label else None,
    )


def partition_label(url: str, columns: Sequence[str], chosen: str | None) -> bytes | None:
    """The label of all images of a file, if a folder is named COLUMN=VALUE, as Hive and Spark partition tables; else None.

    Args:
        columns: of the file itself, which win.
        chosen: the label column that the user chose.
    """
    folders = (part.partition("=") for part in url.split("/")[:-1])
    stated = {name: value for name, equals, value in folders if equals and name not in columns}
    names = [chosen] if chosen else [name for name in _LABEL_COLUMNS if name in (*columns, *stated)]
    if not names or names[0] not in stated:
        return None
    value = stated[names[0]]
    return b"" if value == "__HIVE_DEFAULT_PARTITION__" else unquote_to_bytes(value)


def _image_column(
    url: str, schema: "pa.Schema", features: dict[str, dict[str, Any]], holds_images: Callable[[str], bool]
) -> str:
    kinds = {name: schema.field(name).type for name in schema.names}
    structs = [name for name, kind in kinds.items() if _is_struct(kind)]
    binaries = [name for name, kind in kinds.items() if _is_binary(kind)]
    lists = [name for name, kind in kinds.items() if _is_list(kind) and _is_image(schema, name)]
    fixed = [name for name, kind in kinds.items() if _is_fixed_binary(kind) and name in _IMAGE_COLUMNS]
    marked = [name for name in structs + binaries if features.get(name, {}).get("_type") == "Image"]
    candidates = next((names for names in (marked, structs, binaries, lists, fixed) if names), [])
    if not candidates:
        raise MinerError(
            f"{url} has no column of image bytes (columns: {_listed(schema)}). Images are expected as a struct of `bytes` and "
            "`path`, or as a binary column."
        )
    return _only(url, "image", candidates, _IMAGE_COLUMNS, holds_images)


def _label_column(url: str, schema: "pa.Schema", features: dict[str, dict[str, Any]]) -> str | None:
    usual = [name for name in schema.names if name in _LABEL_COLUMNS]
    plain = [name for name in usual if _is_plain_label(schema.field(name).type)]
    marked = [name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"]
    candidates = plain or usual or marked
    likely = [name for name in schema.names if _LIKELY.search(name) and _is_plain_label(schema.field(name).type)]
    if likely and not candidates:
        warn(f"no column is called label, but {', '.join(likely[:5])} may hold labels: name it with --label-column")
    return _only(url, "label", candidates, _LABEL_COLUMNS) if candidates else None


def _only(
    url: str,
    what: str,
    candidates: Sequence[str],
    usual: Sequence[str],
    fits: Callable[[str], bool] = lambda name: True,
) -> str:
    """The one candidate; of several the one called `what`, or the only one with a usual name, or the only one that fits.

    Raises:
        UsageError: there are several.
    """
    named = [name for name in candidates if name in usual] or list(candidates)
    if what in named or len(named) == 1:
        return what if what in named else named[0]
    fitting = [name for name in named if fits(name)] or named
    if len(fitting) == 1:
        return fitting[0]
    raise UsageError(
        f"{url} has several columns that may be the {what}: {', '.join(fitting)}. Name one with `miner embed "
        f"--{what}-column`; an evaluation then takes that column of its other sources too."
    )


def _listed(schema: "pa.Schema") -> str:
    return ", ".join(schema.names)[:300]


def features_of(schema: "pa.Schema") -> dict[str, dict[str, Any]]:
    """The notes of the `datasets` library about each column; empty if another library wrote the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    if not isinstance(features, dict):
        return {}
    return {name: feature for name, feature in features.items() if isinstance(feature, dict)}


def class_names_of(feature: dict[str, Any]) -> list[str] | None:
    names = feature.get("names")
    return [str(name) for name in names] if feature.get("_type") == "ClassLabel" and isinstance(names, list) else None


def _is_image(schema: "pa.Schema", name: str) -> bool:
    kind = schema.field(name).type
    kind = kind.value_type if _is_list(kind) else kind
    return _is_struct(kind) or _is_binary(kind)


def _is_struct(kind: "pa.DataType") -> bool:
    """Whether it is a struct with `bytes`."""
    import pyarrow as pa

    return pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 and _is_binary(kind.field("bytes").type)


def _is_binary(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_fixed_binary(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_fixed_size_binary(kind))


def _is_list(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_plain_label(kind: "pa.DataType") -> bool:
    """Whether it holds integers or text, as nearly all labels do."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(text or pa.types.is_integer(kind))
