"""Files that are something else than their names say are called by what they are."""

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.errors import MinerError
from miner.images.decode import UnreadableImageError, decode_image
from miner.source import open_source
from miner.source.foreign import foreign_kind
from tests.source.tars import png, tar_bytes

TAR = tar_bytes([("a.png", png())])


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.png", png())
    return stream.getvalue()


def table() -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"x": [1]}), stream)
    return stream.getvalue()


def array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


FILES = {
    "a web page": b"\n<!DOCTYPE html><title>404</title>",
    "an SVG drawing": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n",
    "packed with gzip": gzip.compress(TAR),
    "packed with bzip2": bz2.compress(TAR),
    "packed with xz": lzma.compress(TAR),
    "a zip archive": zipped(),
    "a tar file": TAR,
    "a Parquet file": table(),
    "an array of NumPy": array(),
    "a PDF": b"%PDF-1.7\n",
    "JSON": b'{"message": "Not Found"}',
    "a video": b"\0\0\0\x20ftypisom" + bytes(20),
    "JPEG XL": b"\0\0\0\x0cJXL \r\n\x87\n",
    "a resource fork of macOS": b"\0\5\x16\7\0\2\0\0Mac OS X",
    "zero bytes only": bytes(500),
}


@pytest.mark.parametrize("kind", FILES)
def test_an_image_that_is_none_is_named(kind: str) -> None:
    with pytest.raises(UnreadableImageError) as caught:
        decode_image(FILES[kind])
    assert str(caught.value).startswith("no known image format (") and kind in str(caught.value)


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind != "a tar file"])
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.parquet"])
def test_a_shard_or_table_that_is_none_is_named(tmp_path: Path, kind: str, name: str) -> None:
    if {name, kind} in ({"a.tar.gz", "packed with gzip"}, {"a.parquet", "a Parquet file"}):
        return
    (tmp_path / name).write_bytes(FILES[kind])
    with pytest.raises(MinerError) as caught:
        open_source(str(tmp_path / name))
    assert f"{name} is damaged" in str(caught.value) and kind in str(caught.value)


def test_other_bytes_are_not_guessed() -> None:
    assert [foreign_kind(data) for data in (b"", b"x", b"{not json", png(), b"\xff\xd8\xff", b"GIF89a")] == [""] * 6
