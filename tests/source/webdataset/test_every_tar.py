"""Tars of every kind: what is read of each, or why it is refused."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
from pathlib import Path

import pytest

from miner.errors import MinerError
from miner.source import open_source
from tests.source.tars import png

Members = list[tuple[str, bytes] | tarfile.TarInfo]


def packed(members: Members, form: int = tarfile.USTAR_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return stream.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def samples(keys: list[str], label: str = ".cls") -> Members:
    return [part for n, key in enumerate(keys) for part in ((f"{key}.png", png(n)), (f"{key}{label}", b"%d" % (n % 2)))]


def with_json(*records: dict) -> Members:
    return [
        part
        for n, record in enumerate(records)
        for part in ((f"{n}.png", png(n)), (f"{n}.json", json.dumps(record).encode()))
    ]


BASE = samples(["0000", "0001", "0002", "0003"])
PLAIN = packed(BASE)
ALTERNATING = [0, 1, 0, 1]

READ: dict[str, tuple[bytes, list[int | None], list[str] | None]] = {
    "a.tar": (PLAIN, ALTERNATING, None),
    "UPPER.TAR": (PLAIN, ALTERNATING, None),
    "a.tar.gz": (gzip.compress(PLAIN), ALTERNATING, None),
    "dots.tar": (packed([special("./", tarfile.DIRTYPE), *[(f"./{n}", d) for n, d in BASE]]), ALTERNATING, None),
    "pax.tar": (packed(BASE, tarfile.PAX_FORMAT), ALTERNATING, None),
    "unicode.tar": (packed(samples([f"dir é/日本{n}" for n in range(4)]), tarfile.PAX_FORMAT), ALTERNATING, None),
    "long.tar": (packed(samples([f"{'d' * 150}/{'n' * 120}{n}" for n in range(4)]), tarfile.GNU_FORMAT), ALTERNATING, None),
    "links.tar": (
        packed([*BASE, special("h.png", tarfile.LNKTYPE, "0000.png"), special("s.png", tarfile.SYMTYPE, "0000.png")]),
        ALTERNATING,
        None,
    ),
    "twice.tar": (packed([*BASE, ("0000.png", png(77)), ("0000.cls", b"1")]), [1, 1, 0, 1], None),
    "apart.tar": (packed(sorted(BASE, key=lambda member: member[0].endswith("cls"))), ALTERNATING, None),
    "missing.tar": (packed([*BASE[:-1], ("9.cls", b"1"), ("10.json", b"{}"), ("11.txt", b"x")]), [0, 1, 0, None], None),
    "dotted.tar": (packed([(f"train.v1/{n}", d) for n, d in BASE]), ALTERNATING, None),
    "macos.tar": (packed([part for n, d in BASE for part in ((f"._{n}", b"\0\5\x16\7"), (n, d))]), ALTERNATING, None),
    "capitals.tar": (packed([(n.upper(), d) for n, d in BASE]), ALTERNATING, None),
    "json.tar": (packed(with_json({"label": 0.0}, {"label": [1]}, {"label": None}, {"cls": 2})), [0, 1, None, 2], None),
    "nested.tar": (packed(with_json({"class": 1}, {"meta": {"label": 2}}, {}, {"label": {}})), [None] * 4, None),
    "negative.tar": (packed([(f"{n}.png", png(n)) for n in range(2)] + [("0.cls", b"-1"), ("1.cls", b"-2")]), [None] * 2, None),
    "names.tar": (
        packed([(f"{n}.png", png(n)) for n in range(2)] + [("0.cls", b"dog\n"), ("1.cls", b"cat")]),
        [1, 0],
        ["cat", "dog"],
    ),
    "some.tar": (packed([("a.png", png(9)), *BASE]), [None, *ALTERNATING], None),
    "captions.tar": (packed([*with_json({"caption": "x", "label": None}), ("0.txt", b"a long caption")]), [None], None),
    "noend.tar": (PLAIN.rstrip(b"\0") + bytes(-len(PLAIN.rstrip(b"\0")) % 512), ALTERNATING, None),
}  # fmt: skip

REFUSED = {
    "empty.tar": (packed([]), "No image in the shards"),
    "hidden.tar": (packed(samples([".h0", ".h1"])), "No image in the shards"),
    "zero.tar": (b"", "is damaged or no tar file: empty file"),
    "cut.tar": (PLAIN[: len(PLAIN) // 3], "is damaged or no tar file: (unexpected end|no header)"),
    "cut.tar.gz": (gzip.compress(PLAIN)[:-90], "is damaged"),
    "gzip.tar": (gzip.compress(PLAIN), r"no tar file \(packed with gzip\)"),
    "page.tar": (b"<!doctype html>404" + b" " * 2000, r"no tar file \(a web page\)"),
    "a.tar.bz2": (bz2.compress(PLAIN), r"miner cannot read \(packed with bzip2\)"),
    "a.tar.xz": (lzma.compress(PLAIN), r"miner cannot read \(packed with xz\)"),
}


@pytest.mark.parametrize("name", READ)
def test_every_tar_is_read(tmp_path: Path, name: str) -> None:
    data, labels, classes = READ[name]
    (tmp_path / name).write_bytes(data)
    source = open_source(str(tmp_path / name))
    assert ([entry.label for entry in source.entries], source.classes) == (labels, classes)
    known = {png(number) for number in (*range(4), 9, 77)}
    assert len({source.read(entry) for entry in source.entries} & known) == len(labels)
    assert len({entry.key for entry in source.entries}) == len(labels)


@pytest.mark.parametrize("name", REFUSED)
def test_other_files_are_refused_in_words(tmp_path: Path, name: str) -> None:
    data, reason = REFUSED[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MinerError, match=reason):
        open_source(str(tmp_path / name))
