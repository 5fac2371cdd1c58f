"""The few images that the page shows: read, checked, cut to a central square, and made small."""

import base64
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from PIL import Image, ImageOps

from miner.errors import MinerError
from miner.images.decode import UnreadableImageError, decode_image
from miner.source import Source, open_source

TINY_SIDE = 64


class Quality(NamedTuple):
    """Largest side in pixels, JPEG quality, and whether tiny images are kept as they are, without loss."""

    side: int
    jpeg: int
    lossless_tiny: bool


# From the best; the first whose pictures fit the room is taken.
QUALITIES = (
    Quality(288, 82, True),
    Quality(224, 80, True),
    Quality(176, 76, True),
    Quality(128, 72, False),
    Quality(96, 66, False),
    Quality(64, 50, False),
)
# For pictures that are shown small.
SMALL_QUALITIES = (Quality(96, 70, True), Quality(64, 66, False), Quality(48, 50, False))


@dataclass(frozen=True)
class Thumbnail:
    """A square image inside the page.

    Attributes:
        url: a data URL.
        side: in pixels.
        tiny: whether its pixels are to be seen when it is enlarged.
    """

    url: str
    side: int
    tiny: bool


def load_squares(source: Source, images: Mapping[int, Mapping[str, Any]]) -> dict[int, Image.Image]:
    """The central squares of images, at most as large as the page may need; those gone or changed are left out.

    Args:
        source: that holds them.
        images: "key" and "sha256" by row.
    """
    wanted = {image["key"] for image in images.values()}
    entries = {entry.key: entry for entry in source.entries if entry.key in wanted}
    squares = {}
    for row, image in images.items():
        try:
            data = source.read(entries[image["key"]])
            if hashlib.sha256(data).hexdigest() == image["sha256"]:
                squares[row] = central_square(decode_image(data))
        except (KeyError, OSError, UnreadableImageError):
            continue
    return squares


def source_if_there(spec: str) -> Source | None:
    """A source, or None when it is not there any more."""
    try:
        return open_source(spec)
    except (MinerError, OSError):
        return None


def central_square(image: Image.Image) -> Image.Image:
    """What most encoders see of an image, at most the largest side of `QUALITIES`."""
    side = min(*image.size, QUALITIES[0].side)
    return ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)


def make_thumbnails(
    squares: Mapping[int, Image.Image],
    uses: Iterable[int],
    room_bytes: int,
    qualities: Sequence[Quality] = QUALITIES,
) -> dict[int, Thumbnail]:
    """Data URLs that together take at most `room_bytes`, of the best quality that fits (or the lowest, if none does).

    Args:
        squares: images by row.
        uses: the row of every image on the page, once for each time it is shown.
        room_bytes: for all data URLs together.
        qualities: from the best to the lowest.
    """
    shown = [row for row in uses if row in squares]
    for quality in qualities:
        pictures = {row: _encoded(square, quality) for row, square in squares.items()}
        if sum(len(pictures[row].url) for row in shown) <= room_bytes:
            break
    return pictures


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
