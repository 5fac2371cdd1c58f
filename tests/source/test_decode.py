import io

import numpy as np
import pytest
from PIL import Image

from miner.source.decode import UnreadableImageError, decode_image


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


def test_decompression_bomb_is_refused_before_it_unpacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.source.decode.MAX_PIXELS", 100)
    with pytest.raises(UnreadableImageError, match="too large"):
        decode_image(encoded(Image.new("L", (11, 10)), "PNG"))
