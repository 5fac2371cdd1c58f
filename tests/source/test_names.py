"""File names of every kind, in folders, shards and Parquet files: each image is read, under a clean key and a printable path."""

import tarfile
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.source import open_source
from miner.source.keys import is_clean
from tests.source.tars import png
from tests.source.webdataset.test_every_tar import packed

NAMES = (
    unicodedata.normalize("NFC", "café.png"),
    unicodedata.normalize("NFD", "café.png"),
    *("emoji \U0001f600.png", "new\nline.png", "tab\there.png", "bell\a.png", "\u202egnp.png", "zero\u200bwidth.png"),
    *("a.b.c.tar.png", "-dash.png", "--help.png", "IMG.PNG", "img.png", "Img.JPG", "x" * 245 + ".png"),
    *("a,b;c'd\"e`f$g&h.png", "100%.png", "#hash?.png", "[1].png", "{a,b}.png", " lead.png", "trail .png", "a::b.png"),
    *("<script>alert(1)<b>.png", "back\\slash.png", "*.png", "~.png", "CON.png", "two  spaces.png"),
)
BYTES = (b"latin1-\xe9\xff.png".decode("utf-8", "surrogateescape"), b"\x80.png".decode("utf-8", "surrogateescape"))
LEFT_OUT = (".hidden.png", ".git/x.png", "__MACOSX/._x.png", ".DS_Store", "Thumbs.db", "desktop.ini", "noext")


def check(spec: str, count: int) -> None:
    source = open_source(spec)
    assert sorted(source.read(entry) for entry in source.entries) == sorted(png(number) for number in range(count))
    keys = [entry.key for entry in source.entries]
    assert len(set(keys)) == count and all(map(is_clean, keys))
    shown = "".join(entry.path for entry in source.entries)
    assert shown.encode() and not any(unicodedata.category(sign) == "Cc" for sign in shown)


@pytest.mark.parametrize("classes", [("",), ("cat é", "dog"), ("-x", "caf\udce9", "a::b")])
def test_in_folders(tmp_path: Path, classes: tuple[str, ...]) -> None:
    number = 0
    for class_name in classes:
        for name in (*NAMES, *BYTES):
            path = tmp_path / "s" / class_name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(number))
            number += 1
        for name in LEFT_OUT:
            path = tmp_path / "s" / class_name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\0\1")
    check(str(tmp_path / "s"), number)


def test_in_shards(tmp_path: Path) -> None:
    names = [f"{number}-{name}" for number, name in enumerate((*NAMES, *BYTES))]
    (tmp_path / "a.tar").write_bytes(packed([(name, png(n)) for n, name in enumerate(names)], tarfile.PAX_FORMAT))
    check(str(tmp_path / "a.tar"), len(names))


def test_in_parquet(tmp_path: Path) -> None:
    images = pa.array([{"bytes": png(number), "path": name} for number, name in enumerate(NAMES)])
    pq.write_table(pa.table({"image": images}), tmp_path / "a.parquet")
    check(str(tmp_path / "a.parquet"), len(NAMES))
