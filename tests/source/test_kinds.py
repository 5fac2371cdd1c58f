"""Which files are images: by ending, by their first bytes, and what is counted as left out."""

import io
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from miner.images.decode import decode_image
from miner.source import open_source
from miner.source.kinds import SNIFFED_BYTES, image_extension, image_extensions, sniffed_extension
from tests.source.tars import png, tar_bytes

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "extension"),
    [
        *[("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("GIF", "gif")],
        *[("TIFF", "tif"), ("BMP", "bmp"), ("PPM", "ppm"), ("AVIF", "avif")],
    ],
)
def test_images_are_known_by_their_first_bytes(kind: str, extension: str) -> None:
    assert sniffed_extension(encoded(kind)[:SNIFFED_BYTES]) == extension
    assert decode_image(encoded(kind)).size == (32, 24)


@pytest.mark.parametrize(
    "start", [b"", b"BMW is no image, whatever its first letters are", b"RIFF....WAVEfmt ", b"P7 no", b"\0" * 32, b"{}"]
)
def test_other_files_are_no_images(start: bytes) -> None:
    assert sniffed_extension(start) == ""


@pytest.mark.parametrize(
    ("path", "extension"),
    [
        *[
            ("a.jpg", "jpg"),
            ("x/A.JPEG", "jpeg"),
            ("a.jfif", "jpg"),
            ("a.jpe", "jpg"),
            ("a.apng", "png"),
            ("a.avif", "avif"),
        ],
        *[("a.pnm", "ppm"), ("a.txt", ""), ("jpg", ""), ("a.jpg/b", ""), (".jpg.", "")],
    ],
)
def test_endings_have_one_name_for_each_kind(path: str, extension: str) -> None:
    assert image_extension(path) == extension


def test_heic_is_read_where_its_decoder_is() -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    stream = io.BytesIO()
    heif.from_pillow(Image.fromarray(PIXELS)).save(stream)
    assert "heic" in image_extensions() and sniffed_extension(stream.getvalue()[:32]) == "heic"
    assert decode_image(stream.getvalue()).size == (32, 24)


def test_files_without_an_ending_are_looked_at(tmp_path: Path) -> None:
    for name, data in {"IMG_1": png(), "photo.": png(1), "README": b"text", "a.jpg": encoded("JPEG")}.items():
        (tmp_path / name).write_bytes(data)
    source = open_source(str(tmp_path))
    assert {entry.path: entry.extension for entry in source.entries} == {
        "IMG_1": "png",
        "photo.": "png",
        "a.jpg": "jpg",
    }
    assert source.left_out.files == {"no ending": 1}
    fsspec.filesystem("memory").pipe({"/plain/one": png(), "/plain/two": b"text"})
    assert [entry.extension for entry in open_source("memory://plain").entries] == ["png"]


def test_members_without_an_ending_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes([("x/one", png()), ("x/two", b"text"), ("three.heix", b"?")]))
    source = open_source(str(tmp_path / "a.tar"))
    assert [entry.extension for entry in source.entries] == ["png"]
    assert source.left_out.files == {"no ending": 1, ".heix": 1}


def test_what_no_decoder_reads_is_counted(tmp_path: Path) -> None:
    for name in ("a.png", "b.xyz", "c.xyz", "d.psd", "e.JFIF", "sub/f.xyz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png())
    source = open_source(str(tmp_path))
    assert [entry.path for entry in source.entries] == ["a.png", "e.JFIF"]
    assert source.left_out.files == {".xyz": 3, ".psd": 1}
