"""Labels as data sets write them."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.source import open_source
from miner.source.labels import MISSING, Dropped, index_labels, parse_label, parse_label_text
from tests.source.tars import png, tar_bytes


@pytest.mark.parametrize(
    ("value", "label"),
    [
        *[(3, 3), (0, 0), (2**70, 2**70), ("cat", "cat"), (" cat\n", "cat"), (b"cat", "cat"), (b"7", 7)],
        # whole floats and decimals, as pandas makes of integers with a missing one
        *[(3.0, 3), (2.0**60, 2**60), (Decimal("4.00"), 4)],
        *[(True, "True"), (False, "False")],
        *[([3], 3), (["cat"], "cat"), ([[2.0]], 2), ((1,), 1)],
        *[(None, MISSING), (float("nan"), MISSING), ("", MISSING), (" ", MISSING), ([], MISSING)],
        *[(-1, MISSING), (-1.0, MISSING), ([-1], MISSING), ([None], MISSING)],
        *[
            (-2, Dropped("negative number")),
            (2.5, Dropped("no whole number")),
            (float("inf"), Dropped("no whole number")),
        ],
        *[([1, 2], Dropped("several labels")), ("x" * 101, Dropped("long text")), ("a\nb", Dropped("long text"))],
        *[({"id": 3}, Dropped("value of type dict"))],
    ],
)
def test_a_value_is_a_number_a_name_or_no_label(value: Any, label: object) -> None:
    assert parse_label(value) == label and type(parse_label(value)) is type(label)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (b"7", 7),
        (b" 7\n", 7),
        (b"7.0", 7),
        (b'"dog"', "dog"),
        (b"dog", "dog"),
        (b"true", "True"),
        (b"[3]", 3),
        (b"null", MISSING),
        (b"NaN", MISSING),
        (b"\xff\xfe", Dropped("text not in UTF-8")),
        (b"9" * 5000, Dropped("long text")),
    ],
)
def test_a_text_file_holds_a_label(text: bytes, label: object) -> None:
    assert parse_label_text(text) == label


@pytest.mark.parametrize(
    ("labels", "classes", "indices", "names"),
    [
        ([7, 0, MISSING], None, [7, 0, None], None),
        (["dog", "cat", "dog"], None, [1, 0, 1], ["cat", "dog"]),
        ([1, "dog", 0], None, [1, 2, 0], ["0", "1", "dog"]),
        ([3, "3", 10], None, [0, 0, 1], ["3", "10"]),
        ([10**12 + 2, 10**12, 5], None, [2, 1, 0], ["5", str(10**12), str(10**12 + 2)]),
        ([2**70, 2**64, 2**70], None, [1, 0, 1], [str(2**64), str(2**70)]),
        (["True", "False"], None, [1, 0], ["False", "True"]),
        ([0, "dog", 1], ["cat", "dog"], [0, 1, 1], ["cat", "dog"]),
        ([0, "emu", 9], ["cat", "dog"], [0, 3, 2], ["cat", "dog", "9", "emu"]),
        ([9, 0], ["cat", "dog"], [9, 0], ["cat", "dog"]),
    ],
)
def test_labels_are_numbered(labels: list, classes: list | None, indices: list, names: list | None) -> None:
    found = index_labels(labels, classes)
    assert (found.indices, found.classes) == (indices, names)


VALUES: dict[str, tuple[pa.Array, list[int | None], list[str] | None, dict[str, int]]] = {
    "floats": (pa.array([0.0, 1.0, None, float("nan")]), [0, 1, None, None], None, {}),
    "halves": (pa.array([0.0, 1.5, 2.0, 0.5]), [0, None, 2, None], None, {"no whole number": 2}),
    "booleans": (pa.array([True, False, None, True]), [1, 0, None, 1], ["False", "True"], {}),
    "lists of one": (pa.array([[2], [0], [], None]), [2, 0, None, None], None, {}),
    "lists of names": (pa.array([["b"], ["a"], ["a", "b"], ["b"]]), [1, 0, None, 1], ["a", "b"], {"several labels": 1}),
    "large numbers": (
        pa.array([2**64 - 1, 5, 2**33, 5], pa.uint64()),
        [2, 0, 1, 0],
        ["5", str(2**33), str(2**64 - 1)],
        {},
    ),
    "dictionary of floats": (pa.array([1.0, 0.0, 1.0, 1.0]).dictionary_encode(), [1, 0, 1, 1], None, {}),
    "decimals": (pa.array([Decimal(1), Decimal(0), None, Decimal(3)]), [1, 0, None, 3], None, {}),
    "negative": (pa.array([-1, -2, 0, 1]), [None, None, 0, 1], None, {"negative number": 1}),
    "views of text": (pa.array(["b", "a", None, ""], pa.string_view()), [1, 0, None, None], ["a", "b"], {}),
}


@pytest.mark.parametrize("kind", VALUES)
def test_labels_of_every_type_in_parquet(tmp_path: Path, kind: str) -> None:
    values, indices, classes, dropped = VALUES[kind]
    images = pa.array([png(number) for number in range(4)])
    pq.write_table(pa.table({"image": images, "label": values}), tmp_path / "a.parquet")
    source = open_source(str(tmp_path / "a.parquet"))
    assert ([entry.label for entry in source.entries], source.classes) == (indices, classes)
    assert source.left_out.labels == dropped


@pytest.mark.parametrize(
    ("contents", "indices", "classes"),
    [
        ([{"label": 1.0}, {"label": [0]}, {"label": None}], [1, 0, None], None),
        ([{"label": True}, {"label": False}, {}], [1, 0, None], ["False", "True"]),
        ([{"label": 10**15}, {"label": 7}, {"cls": 7.0}], [1, 0, 0], ["7", str(10**15)]),
        ([{"label": "b"}, {"label": ["a"]}, {"label": {"x": 1}}], [1, 0, None], ["a", "b"]),
    ],
)
def test_labels_of_every_type_in_shards(tmp_path: Path, contents: list, indices: list, classes: list | None) -> None:
    members = []
    for number, content in enumerate(contents):
        members += [(f"k{number}.png", png(number)), (f"k{number}.json", json.dumps(content).encode())]
    (tmp_path / "a.tar").write_bytes(tar_bytes(members))
    source = open_source(str(tmp_path / "a.tar"))
    assert ([entry.label for entry in source.entries], source.classes) == (indices, classes)


def test_files_of_several_types_are_numbered_together(tmp_path: Path) -> None:
    for number, labels in enumerate([["dog", "cat"], [0, 5], [0.0, None]]):
        table = pa.table({"image": pa.array([png(), png(1)]), "label": pa.array(labels)})
        pq.write_table(table, tmp_path / f"{number}.parquet")
    source = open_source(str(tmp_path))
    assert source.classes == ["0", "5", "cat", "dog"]
    assert [entry.label for entry in source.entries] == [3, 2, 0, 1, 0, None]


def test_captions_are_counted_as_no_labels(tmp_path: Path) -> None:
    members = [m for n in range(4) for m in ((f"{n}.png", png(n)), (f"{n}.txt", f"picture {n} of a shoe".encode()))]
    (tmp_path / "a.tar").write_bytes(tar_bytes(members))
    source = open_source(str(tmp_path / "a.tar"))
    assert source.classes is None and source.left_out.labels == {"caption": 4}
