import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from miner.errors import UsageError
from miner.images import decode
from miner.images.decode import UnreadableImageError, decode_image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_alpha_is_laid_on_white() -> None:
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 0))
    image.putpixel((1, 0), (200, 0, 0, 255))
    pixels = np.asarray(decode_image(encoded(image, "PNG")))
    assert pixels.tolist() == [[[255, 255, 255], [200, 0, 0]]]


def test_16_bit_grey_is_scaled() -> None:
    image = Image.fromarray(np.array([[0, 65535, 32896]], np.uint16))
    assert np.asarray(decode_image(encoded(image, "PNG")))[0, :, 0].tolist() == [0, 255, 128]


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_image(encoded(Image.new("RGB", (30, 10)), "JPEG", exif=exif.tobytes())).size == (10, 30)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1"])
def test_other_modes_become_rgb(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert decode_image(encoded(Image.new(mode, (4, 3)), kind)).mode == "RGB"


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(decode_image(data))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>not found</html>", "no known image format"),
        (encoded(Image.effect_noise((64, 64), 50).convert("RGB"), "JPEG")[:-400], "truncated"),
        (encoded(Image.effect_noise((64, 64), 50), "PNG")[:-400], "truncated|broken"),
    ],
)
def test_unusable_bytes_have_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImageError, match=reason):
        decode_image(data)


def test_decompression_bomb_is_refused_before_it_unpacks() -> None:
    with pytest.raises(UnreadableImageError, match="too large"):
        decode_image(b"P6 20000 10000 255\n" + bytes(16))


def wide_png(pixels: np.ndarray, colour_type: int) -> bytes:
    """A 16-bit PNG of uint16 (height, width, channels), which Pillow itself cannot write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_16_bit_colour_loses_its_low_byte() -> None:
    pixels = np.array([[[0x12FF, 0x3400, 0xFFFF], [0, 0x0100, 0x80AB]]], np.uint16)
    assert np.array_equal(np.asarray(decode_image(wide_png(pixels, 2))), pixels >> 8)


def test_16_bit_alpha_is_laid_on_white() -> None:
    pixels = np.array([[[0x4000, 0x5000, 0x6000, 0xFFFF], [0x4000, 0x5000, 0x6000, 0]]], np.uint16)
    assert np.asarray(decode_image(wide_png(pixels, 6))).tolist() == [[[0x40, 0x50, 0x60], [255, 255, 255]]]


def test_16_bit_grey_with_8_bit_values_is_not_black() -> None:
    image = Image.fromarray(np.array([[0, 200]], np.uint16))
    assert np.asarray(decode_image(encoded(image, "TIFF")))[0, :, 0].tolist() == [0, 200]


def test_ppm_with_16_bits_is_scaled() -> None:
    data = b"P5 2 1 65535\n" + np.array([65535, 32896], ">u2").tobytes()
    assert np.asarray(decode_image(data))[0, :, 0].tolist() == [255, 128]


def test_palette_keeps_colours_and_transparency_is_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert np.asarray(decode_image(encoded(image, "PNG"))).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    for kind in ("PNG", "GIF"):
        pixels = np.asarray(decode_image(encoded(image, kind, transparency=1)))
        assert pixels.tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_with_a_transparent_value(mode: str) -> None:
    image = Image.new(mode, (2, 1), 0)
    image.putpixel((1, 0), 255)
    pixels = np.asarray(decode_image(encoded(image, "PNG", transparency=0)))
    assert pixels.tolist() == [[[255] * 3, [255] * 3]]


def test_cmyk_as_adobe_writes_it() -> None:
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert b"Adobe" in data
    assert np.abs(np.asarray(decode_image(data), int) - [255, 0, 0]).max() <= 6


def test_all_eight_exif_rotations_show_the_same_picture() -> None:
    upright = np.zeros((2, 3, 3), np.uint8)
    upright[0, 0] = 255
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, 3),
    }
    for orientation, pixels in stored.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(Image.fromarray(np.ascontiguousarray(pixels)), "PNG", exif=exif.tobytes())
        assert np.array_equal(np.asarray(decode_image(data)), upright), orientation


def test_damaged_exif_does_not_cost_the_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("RGB", (30, 10)), "JPEG", exif=exif.tobytes()[:12])
    assert decode_image(data).size == (30, 10)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_one_pixel_of_every_format(kind: str) -> None:
    assert decode_image(encoded(Image.new("RGB", (1, 1), "white"), kind)).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_first_frame_of_other_animations(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert decode_image(data).getpixel((4, 4)) == (255, 0, 0)


def test_first_picture_of_an_mpo() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("white", "black")]
    assert decode_image(encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])).getpixel((4, 4)) == (
        255,
        255,
        255,
    )


def test_eps_is_refused_because_ghostscript_would_run_it() -> None:
    data = encoded(Image.new("RGB", (8, 8)), "EPS")
    assert Image.open(io.BytesIO(data)).format == "EPS"
    with pytest.raises(UnreadableImageError, match="no known image format"):
        decode_image(data)


def test_web_page_is_called_one() -> None:
    with pytest.raises(UnreadableImageError, match="web page"):
        decode_image(b"\n<!DOCTYPE html><title>404</title>")


@pytest.mark.parametrize("kind", ["TIFF", "PPM"])
def test_floating_point_pixels_are_refused(kind: str) -> None:
    with pytest.raises(UnreadableImageError, match="floating-point"):
        decode_image(encoded(Image.new("F", (4, 4), 0.5), kind))


def test_limit_of_pixels_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("L", (11, 10)), "PNG")
    monkeypatch.setenv("MINER_MAX_PIXELS", "110")
    assert decode_image(data).size == (11, 10)
    monkeypatch.setenv("MINER_MAX_PIXELS", "109")
    with pytest.raises(UnreadableImageError, match="too large"):
        decode_image(data)
    monkeypatch.setenv("MINER_MAX_PIXELS", "lots")
    with pytest.raises(UsageError, match="MINER_MAX_PIXELS"):
        decode_image(data)


def test_limit_can_be_lifted_above_that_of_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    data = encoded(Image.new("L", (20, 20)), "PNG")
    with pytest.raises(UnreadableImageError, match="too large"):
        decode_image(data)
    monkeypatch.setenv("MINER_MAX_PIXELS", "401")
    assert decode_image(data).size == (20, 20)


def test_reasons_are_short() -> None:
    noise = encoded(Image.effect_noise((64, 64), 50), "PNG")
    for cut in range(0, len(noise), 97):
        with pytest.raises(UnreadableImageError) as caught:
            decode_image(noise[:cut])
        assert 0 < len(str(caught.value)) <= 160
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16"])
def test_a_large_image_is_converted_in_tiles_as_a_small_one(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (70, 50, 4), np.uint8)
    image = Image.fromarray(levels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(levels)
    stream = io.BytesIO()
    (image if mode == "I;16" else image.convert(mode)).save(stream, "PNG")
    whole = decode_image(stream.getvalue())
    monkeypatch.setattr(decode, "_TILE", 16)
    assert decode_image(stream.getvalue()).tobytes() == whole.tobytes()


def test_an_image_above_the_free_memory_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("RGB", (100, 100)), "WEBP")
    monkeypatch.setattr(decode, "bytes_for_images", lambda: 150_000)
    with pytest.raises(UnreadableImageError, match="too large for the free memory: 100 x 100"):
        decode_image(data)
    assert decode_image(encoded(Image.new("RGB", (100, 100)), "BMP")).size == (100, 100)
