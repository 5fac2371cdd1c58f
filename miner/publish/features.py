"""Types of columns and of sample fields, in the form of a card's `dataset_info`."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

Feature = dict[str, Any]

_LABELS = ("label", "label_a", "label_b")
_NARROW = {
    "width": "int32",
    "height": "int32",
    "similarity": "float32",
    "label": "int32",
    "label_a": "int32",
    "label_b": "int32",
}
_DTYPES = {name: name for name in ("string", "bool", "int8", "int16", "int32", "int64")}
_DTYPES |= {"large_string": "string", "float": "float32", "double": "float64"}
_BY_TYPE = ((bool, "bool"), (int, "int64"), (float, "float64"), (str, "string"))


def table_features(schema: pa.Schema, classes: Sequence[str] | None) -> list[Feature] | None:
    """Features of a table; None if a column has a type that a card cannot state."""
    types = [_DTYPES.get(str(field.type)) for field in schema]
    named = [_feature(name, dtype, classes) for name, dtype in zip(schema.names, types, strict=True) if dtype]
    return named if len(named) == len(schema) else None


def sample_features(fields: Sequence[str], record: Mapping[str, Any], classes: Sequence[str] | None) -> list[Feature]:
    """Features of a WebDataset.

    Args:
        fields: of each sample, as in ("a.jpg", "b.jpg", "json"); all but the last are images.
        record: the JSON of one sample.
        classes: names of the labels.
    """
    images = [{"name": field, "dtype": "image"} for field in fields if field != "json"]
    struct = [_feature(name, _dtype(name, value), classes) for name, value in record.items()]
    own = [{"name": name, "dtype": "string"} for name in ("__key__", "__url__")]
    return [*images, {"name": "json", "struct": struct}, *own]


def _feature(name: str, dtype: str, classes: Sequence[str] | None) -> Feature:
    if name in _LABELS and classes:
        return {"name": name, "dtype": {"class_label": {"names": {str(n): label for n, label in enumerate(classes)}}}}
    return {"name": name, "dtype": dtype}


def _dtype(name: str, value: Any) -> str:
    narrow = _NARROW.get(name)
    return narrow or next((dtype for kind, dtype in _BY_TYPE if isinstance(value, kind)), "string")
