"""PNG files whose text Pillow refuses to unpack."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from miner.images.decode import UnreadableImageError, decode_image
from miner.images.png_text import without_large_text

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def png(info: PngImagePlugin.PngInfo | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "PNG", pnginfo=info, **options)
    return stream.getvalue()


def packed_text() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("big", "x" * 3_000_000, zip=True)
    return png(info)


def international_text() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("big", "x" * 3_000_000, zip=True)
    return png(info)


def many_texts() -> bytes:
    info = PngImagePlugin.PngInfo()
    for number in range(70):
        info.add_text(f"part {number}", "x" * 1_000_000, zip=True)
    return png(info)


def plain_text() -> bytes:
    info = PngImagePlugin.PngInfo()
    for number in range(3):
        info.add_text(f"part {number}", "x" * 30_000_000)
    return png(info)


def colour_profile() -> bytes:
    return png(icc_profile=bytes(3_000_000))


def text_after_the_pixels() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add(b"zTXt", b"big\0\0" + zlib.compress(bytes(3_000_000)), after_idat=True)
    return png(info)


@pytest.mark.parametrize(
    "make", [packed_text, international_text, many_texts, plain_text, colour_profile, text_after_the_pixels]
)
def test_large_text_does_not_make_an_image_unreadable(make) -> None:
    np.testing.assert_array_equal(np.asarray(decode_image(make())), PIXELS)


def test_orientation_in_a_small_chunk_is_kept() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("big", "x" * 3_000_000, zip=True)
    info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    assert decode_image(png(info)).size == (20, 30)


def test_a_bomb_of_text_takes_no_memory() -> None:
    packed = zlib.compressobj(9)
    bomb = b"".join([*(packed.compress(bytes(1 << 20)) for _ in range(512)), packed.flush()])
    info = PngImagePlugin.PngInfo()
    info.add(b"zTXt", b"bomb\0\0" + bomb)
    data = png(info)
    assert len(without_large_text(data)) < 4000
    np.testing.assert_array_equal(np.asarray(decode_image(data)), PIXELS)


def test_other_files_and_damaged_ones_stay_as_they_are() -> None:
    whole = png()
    assert without_large_text(b"\xff\xd8\xff jpeg") == b"\xff\xd8\xff jpeg"
    assert without_large_text(whole) == whole
    with pytest.raises(UnreadableImageError):
        decode_image(packed_text()[:-400])
