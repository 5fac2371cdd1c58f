"""Thumbnails: images that are made small, and encoded as data URLs."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image, ImageOps

TINY_SIDE = 64


class Quality(NamedTuple):
    """Largest side in pixels, JPEG quality, and whether tiny images are stored without loss."""

    side: int
    jpeg: int
    lossless_tiny: bool


# From the best to the lowest. The first is taken whose thumbnails fit the space.
QUALITIES = (
    Quality(400, 82, True),
    Quality(288, 82, True),
    Quality(224, 80, True),
    Quality(176, 76, True),
    Quality(128, 72, False),
    Quality(96, 66, False),
    Quality(64, 50, False),
)
# For thumbnails that are shown small.
SMALL_QUALITIES = (Quality(96, 70, True), Quality(64, 66, False), Quality(48, 50, False))


@dataclass(frozen=True)
class Thumbnail:
    """An image as a data URL, its size in pixels, and whether the browser enlarges its pixels to sharp squares."""

    url: str
    width: int
    height: int
    tiny: bool


def central_square(image: Image.Image) -> Image.Image:
    """The central square of an image, at most as large as the best of `QUALITIES`."""
    side = min(*image.size, QUALITIES[0].side)
    return ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)


def whole_picture(image: Image.Image) -> Image.Image:
    """An image as it is, its longer side at most that of the best of `QUALITIES`."""
    picture = image.copy()
    picture.thumbnail((QUALITIES[0].side, QUALITIES[0].side), Image.Resampling.LANCZOS, reducing_gap=None)
    return picture


def make_thumbnails(
    pictures: Mapping[int, Image.Image],
    uses: Iterable[int],
    most_bytes: int,
    qualities: Sequence[Quality] = QUALITIES,
) -> dict[int, Thumbnail]:
    """Thumbnails that together take at most `most_bytes`, of the best quality that fits, or of the lowest if none fits.

    Args:
        pictures: images by row.
        uses: rows of the images on the page; a row is repeated each time that its image is shown.
        most_bytes: space for all data URLs together.
        qualities: from the best to the lowest.
    """
    shown = [row for row in uses if row in pictures]
    for quality in qualities:
        thumbnails = {row: _encoded(picture, quality) for row, picture in pictures.items()}
        if sum(len(thumbnails[row].url) for row in shown) <= most_bytes:
            break
    return thumbnails


def _encoded(picture: Image.Image, quality: Quality) -> Thumbnail:
    stream = io.BytesIO()
    tiny = max(picture.size) <= TINY_SIDE
    if tiny and quality.lossless_tiny:
        picture.save(stream, format="PNG", optimize=True)
        return Thumbnail(_data_url("png", stream.getvalue()), *picture.size, tiny)
    small = picture.copy()
    small.thumbnail((quality.side, quality.side), Image.Resampling.LANCZOS, reducing_gap=None)
    small.save(stream, format="JPEG", quality=quality.jpeg, optimize=True)
    return Thumbnail(_data_url("jpeg", stream.getvalue()), *small.size, tiny)


def _data_url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
