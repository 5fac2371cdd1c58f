"""Thumbnails: images that are read, checked, cut to a central square, made small, and encoded as data URLs."""

import base64
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image, ImageOps

from miner.artifacts.embeddings.images import EmbeddedImage
from miner.errors import MinerError
from miner.images.decode import UnreadableImageError, decode_image
from miner.source import Source, open_source

TINY_SIDE = 64


class Quality(NamedTuple):
    """Largest side in pixels, JPEG quality, and whether tiny images are stored without loss."""

    side: int
    jpeg: int
    lossless_tiny: bool


# From the best to the lowest. The first is taken whose thumbnails fit the space.
QUALITIES = (
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
    """A square image inside the page.

    Attributes:
        url: a data URL.
        side: in pixels.
        tiny: whether the browser shows its pixels as sharp squares when it enlarges the image.
    """

    url: str
    side: int
    tiny: bool


def load_squares(source: Source, images: Mapping[int, EmbeddedImage]) -> dict[int, Image.Image]:
    """The central squares of images of a source, by row. Images that are gone or have changed since embedding are left out."""
    wanted = {image.key for image in images.values()}
    entries = {entry.key: entry for entry in source.entries if entry.key in wanted}
    squares = {}
    for row, image in images.items():
        try:
            data = source.read(entries[image.key])
            if hashlib.sha256(data).hexdigest() == image.sha256:
                squares[row] = central_square(decode_image(data))
        except (KeyError, OSError, UnreadableImageError):
            continue
    return squares


def source_if_there(spec: str) -> Source | None:
    """A source, or None when it cannot be opened any more."""
    try:
        return open_source(spec)
    except (MinerError, OSError):
        return None


def central_square(image: Image.Image) -> Image.Image:
    """The central square of an image, at most as large as the best of `QUALITIES`."""
    side = min(*image.size, QUALITIES[0].side)
    return ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)


def make_thumbnails(
    squares: Mapping[int, Image.Image],
    uses: Iterable[int],
    most_bytes: int,
    qualities: Sequence[Quality] = QUALITIES,
) -> dict[int, Thumbnail]:
    """Thumbnails that together take at most `most_bytes`, of the best quality that fits, or of the lowest if none fits.

    Args:
        squares: images by row.
        uses: rows of the images on the page; a row is repeated each time that its image is shown.
        most_bytes: space for all data URLs together.
        qualities: from the best to the lowest.
    """
    shown = [row for row in uses if row in squares]
    for quality in qualities:
        thumbnails = {row: _encoded(square, quality) for row, square in squares.items()}
        if sum(len(thumbnails[row].url) for row in shown) <= most_bytes:
            break
    return thumbnails


def _encoded(square: Image.Image, quality: Quality) -> Thumbnail:
    stream = io.BytesIO()
    tiny = square.width <= TINY_SIDE
    if tiny and quality.lossless_tiny:
        square.save(stream, format="PNG", optimize=True)
        return Thumbnail(_data_url("png", stream.getvalue()), square.width, tiny)
    side = min(square.width, quality.side)
    small = square.resize((side, side), Image.Resampling.LANCZOS)
    small.save(stream, format="JPEG", quality=quality.jpeg, optimize=True)
    return Thumbnail(_data_url("jpeg", stream.getvalue()), side, tiny)


def _data_url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
