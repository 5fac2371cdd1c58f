"""Parquet files of every kind: what is read of each, or why it is refused."""

import base64
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.errors import MinerError
from miner.source import open_source
from tests.source.tars import png

IMAGES = [png(number) for number in range(6)]
STRUCTS = pa.array([{"bytes": data, "path": f"p{number}.png"} for number, data in enumerate(IMAGES)])
OTHERS = pa.array([{"bytes": png(number + 60), "path": None} for number in range(6)])
LABELS = [0, 1] * 3


def noted(columns: dict[str, list[str] | None]) -> dict[bytes, bytes]:
    """The notes of the `datasets` library: class names by column, None for images."""
    features = {
        name: {"names": names, "_type": "ClassLabel"} if names else {"_type": "Image"}
        for name, names in columns.items()
    }
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


TABLES = {
    "struct": ({"image": STRUCTS, "label": LABELS}, {}, LABELS, None),
    "row groups of one": ({"image": STRUCTS, "label": LABELS}, {"row_group_size": 1}, LABELS, None),
    "zstd": ({"image": STRUCTS, "label": LABELS}, {"compression": "zstd", "data_page_version": "2.0"}, LABELS, None),
    "no dictionary": ({"image": STRUCTS, "label": LABELS}, {"use_dictionary": False}, LABELS, None),
    "equal paths": ({"image": pa.array([{"bytes": d, "path": "i.png"} for d in IMAGES]), "label": LABELS}, {}, LABELS, None),
    "vectors beside": ({"embedding": [np.ones(4, np.float32).tobytes()] * 6, "photo": IMAGES, "label": LABELS}, {}, LABELS, None),
    "nested label": ({"image": STRUCTS, "meta": [{"label": label} for label in LABELS]}, {}, [None] * 6, None),
    "text numbers": ({"image": STRUCTS, "label": ["0", "1"] * 3}, {}, LABELS, ["0", "1"]),
    "small numbers": ({"image": STRUCTS, "label": pa.array([0, 1, -1, 0, 1, 1], pa.int8())}, {}, [0, 1, None, 0, 1, 1], None),
    "names": (
        {"image": STRUCTS, "label": ["cat", "dog", None, "", " cat", "Dog"]},
        {},
        [1, 2, None, None, 1, 0],
        ["Dog", "cat", "dog"],
    ),
    "other columns": ({"id": [1] * 6, "image": STRUCTS, "label": LABELS, "boxes": [[1.0]] * 6}, {}, LABELS, None),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("name", ["a.parquet", "A.PARQUET"])
def test_every_table_is_read(tmp_path: Path, kind: str, name: str) -> None:
    columns, options, labels, classes = TABLES[kind]
    pq.write_table(pa.table(columns), tmp_path / name, **options)
    for spec in (tmp_path / name, tmp_path):
        source = open_source(str(spec))
        assert ([entry.label for entry in source.entries], source.classes) == (labels, classes)
        assert [source.read(entry) for entry in source.entries] == IMAGES
        assert len({entry.key for entry in source.entries}) == 6


@pytest.mark.parametrize(
    ("columns", "classes"),
    [
        ({"image": None, "label": ["cat", "dog"]}, ["cat", "dog"]),
        ({"img": None, "fine_label": ["a", "b"], "coarse_label": ["c", "d"]}, ["a", "b"]),
        ({"image": None, "species": ["x", "y"]}, ["x", "y"]),
    ],
)
def test_notes_of_datasets_name_the_classes(tmp_path: Path, columns: dict, classes: list[str]) -> None:
    data = {name: pa.array(LABELS) if names else STRUCTS for name, names in columns.items()}
    pq.write_table(pa.table(data).replace_schema_metadata(noted(columns)), tmp_path / "a.parquet")
    source = open_source(str(tmp_path / "a.parquet"))
    assert source.classes == classes and [entry.label for entry in source.entries] == LABELS


def test_files_of_several_kinds_are_numbered_together(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": STRUCTS, "label": LABELS}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": LABELS, "image": IMAGES, "label": ["cat", "dog"] * 3}), tmp_path / "b.parquet")
    source = open_source(str(tmp_path))
    assert source.classes == ["0", "1", "cat", "dog"]
    assert [entry.label for entry in source.entries] == [0, 1] * 3 + [2, 3] * 3
    assert [source.read(entry) for entry in source.entries] == IMAGES * 2


def test_rows_without_bytes_are_unreadable_images(tmp_path: Path) -> None:
    rows = [
        {"bytes": IMAGES[0], "path": "a.png"},
        None,
        {"bytes": None, "path": "c.png"},
        {"bytes": b"", "path": "e.png"},
    ]
    pq.write_table(pa.table({"image": pa.array(rows)}), tmp_path / "a.parquet")
    source = open_source(str(tmp_path / "a.parquet"))
    assert len(source.entries) == 4 and source.read(source.entries[3]) == b""
    for entry in source.entries[1:3]:
        with pytest.raises(OSError, match="no image bytes in this row"):
            source.read(entry)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"image": [base64.b64encode(data).decode() for data in IMAGES]}, "no column of image bytes"),
        ({"image": [f"images/{number}.png" for number in range(6)]}, "no column of image bytes"),
        ({"image_a": STRUCTS, "image_b": OTHERS}, "several columns that may be the image: image_a, image_b"),
        ({"mask": OTHERS, "photo": STRUCTS}, "several columns that may be the image: mask, photo"),
        ({"image": STRUCTS.slice(0, 0)}, "No row in the Parquet files"),
    ],
)
def test_other_tables_are_refused_in_words(tmp_path: Path, columns: dict, reason: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(MinerError, match=reason):
        open_source(str(tmp_path / "a.parquet"))
