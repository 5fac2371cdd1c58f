"""Images of every kind in one sweep: each shows the same picture as a plain PNG, or says why it cannot."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageCms

from miner.images.decode import UnreadableImageError, decode_image

rng = np.random.default_rng(0)
SMALL = Image.fromarray(rng.integers(0, 255, (4, 5, 3), np.uint8))
BASE = SMALL.resize((90, 60), Image.Resampling.BICUBIC)
GREY = np.asarray(BASE.convert("L")).astype(np.uint16)
SECOND = BASE.transpose(Image.Transpose.ROTATE_180)
INVERSE = dict(zip(range(2, 9), (0, 3, 1, 5, 2, 6, 4), strict=True))  # what undoes each EXIF orientation
PHOTO = {"quality": 98, "subsampling": 0}


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.copy().save(stream, form, **options)
    return stream.getvalue()


def turned(orientation: int, form: str, **options: object) -> bytes:
    image = BASE.transpose(Image.Transpose(INVERSE[orientation]))
    if form == "TIFF":
        return saved(image, form, tiffinfo={0x0112: orientation}, **options)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(image, form, exif=exif, **options)


def png_of(kind: int, rows: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits that Pillow cannot write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], 16, kind, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def huge(side: int) -> bytes:
    """A small PNG that declares so many pixels."""
    data = bytearray(saved(BASE, "PNG"))
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def lab() -> bytes:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    return saved(ImageCms.applyTransform(BASE, to_lab), "TIFF")


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
COLOUR: dict[str, Callable[[], bytes]] = {
    **{f"exif {o} jpeg": lambda o=o: turned(o, "JPEG", **PHOTO) for o in INVERSE},
    **{f"exif {o} png": lambda o=o: turned(o, "PNG") for o in INVERSE},
    **{f"exif {o} webp": lambda o=o: turned(o, "WEBP", lossless=True) for o in INVERSE},
    **{f"exif {o} tiff": lambda o=o: turned(o, "TIFF") for o in INVERSE},
    **{f"exif {o} tiff lzw": lambda o=o: turned(o, "TIFF", compression="tiff_lzw") for o in INVERSE},
    "cmyk jpeg": lambda: saved(BASE.convert("CMYK"), "JPEG", **PHOTO),
    "cmyk tiff": lambda: saved(BASE.convert("CMYK"), "TIFF"),
    "ycbcr tiff": lambda: saved(BASE.convert("YCbCr"), "TIFF"),
    "progressive": lambda: saved(BASE, "JPEG", progressive=True, **PHOTO),
    "profile": lambda: saved(BASE, "JPEG", icc_profile=SRGB, **PHOTO),
    "bytes behind": lambda: saved(BASE, "JPEG", **PHOTO) + bytes(1000),
    "16-bit colour": lambda: png_of(2, np.asarray(BASE).astype(np.uint16) * 257),
    "bmp": lambda: saved(BASE, "BMP"),
    "ppm": lambda: saved(BASE, "PPM"),
    "animated webp": lambda: saved(BASE, "WEBP", save_all=True, append_images=[SECOND.copy()], lossless=True),
    "animated png": lambda: saved(BASE, "PNG", save_all=True, append_images=[SECOND.copy()]),
    "mpo": lambda: saved(BASE, "MPO", save_all=True, append_images=[SECOND.copy()], **PHOTO),
    "pages": lambda: saved(BASE, "TIFF", save_all=True, append_images=[SECOND.copy()]),
    "opaque alpha": lambda: saved(Image.merge("RGBA", (*BASE.split(), Image.new("L", BASE.size, 255))), "PNG"),
    "name of another kind": lambda: saved(BASE, "PNG"),
}  # fmt: skip
ROUGH = {
    "gif": lambda: saved(BASE.quantize(256), "GIF"),
    "palette": lambda: saved(BASE.quantize(256), "PNG"),
    "animated gif": lambda: saved(BASE.quantize(256), "GIF", save_all=True, append_images=[SECOND.copy()]),
    "avif": lambda: saved(BASE, "AVIF", quality=95),
}
GREYS = {
    "8-bit grey": lambda: saved(BASE.convert("L"), "PNG"),
    "grey and alpha": lambda: saved(BASE.convert("LA"), "PNG"),
    "16-bit png": lambda: saved(Image.fromarray(GREY * 257), "PNG"),
    "16-bit tiff": lambda: saved(Image.fromarray(GREY * 257), "TIFF"),
    "16-bit grey and alpha": lambda: png_of(4, np.stack([GREY * 257, np.full_like(GREY, 65535)], -1)),
    "16-bit grey with a transparent value": lambda: png_of(0, GREY * 257, (b"tRNS", struct.pack(">H", 1))),
}
REFUSED = {
    "float": (lambda: saved(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "floating-point"),
    "32 bits": (lambda: saved(Image.fromarray(GREY.astype(np.int32) * 100_000), "TIFF"), "32-bit"),
    "empty": (lambda: b"", "empty file"),
    "cut jpeg": (lambda: saved(BASE, "JPEG")[:900], "truncated"),
    "cut png": (lambda: saved(BASE, "PNG")[:2000], "truncated"),
    "zeros": (lambda: bytes(500), "zero bytes only"),
    "svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    "bomb": (lambda: huge(60_000), "too large"),
}  # fmt: skip


def difference(data: bytes, wanted: Image.Image) -> float:
    image = decode_image(data)
    assert (image.mode, image.size) == ("RGB", (90, 60))
    return float(np.abs(np.asarray(image).astype(int) - np.asarray(wanted)).mean())


@pytest.mark.parametrize("kind", COLOUR)
def test_the_picture_is_the_same(kind: str) -> None:
    assert difference(COLOUR[kind](), BASE) < 2.5


@pytest.mark.parametrize("kind", ROUGH)
def test_the_picture_is_almost_the_same(kind: str) -> None:
    assert difference(ROUGH[kind](), BASE) < 8


@pytest.mark.parametrize("kind", GREYS)
def test_the_picture_is_grey(kind: str) -> None:
    assert difference(GREYS[kind](), BASE.convert("L").convert("RGB")) < 1.5


def test_lab_and_one_bit_and_thin_images_are_decoded() -> None:
    assert decode_image(lab()).size == (90, 60)
    assert set(np.unique(np.asarray(decode_image(saved(BASE.convert("1"), "TIFF", compression="group4"))))) == {0, 255}
    for size in ((1, 1), (1, 3000), (3000, 1)):
        assert decode_image(saved(Image.new("RGB", size, "red"), "PNG")).size == size


@pytest.mark.parametrize("kind", REFUSED)
def test_the_reason_is_said(kind: str) -> None:
    make, reason = REFUSED[kind]
    with pytest.raises(UnreadableImageError, match=reason):
        decode_image(make())
