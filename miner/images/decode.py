"""From encoded bytes to RGB, in the same way for every stage."""

import importlib
import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from typing import Any

import numpy as np
from PIL import (
    AvifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from miner.errors import UsageError
from miner.images.png_text import without_large_text
from miner.images.resize import PixelSize
from miner.machine.memory import alone_if_large, bytes_for_images
from miner.source.foreign import foreign_kind

MAX_PIXELS = 179_000_000  # about 0.7 GB as RGB in Pillow; its own limit for a decompression bomb
# What decoding takes at most: the image as it is stored, upright, and as RGB; some decoders hold further copies.
_USUAL_BYTES_PER_PIXEL = 12
_BYTES_PER_PIXEL = dict.fromkeys(("WEBP", "AVIF", "HEIF"), 20)
_TILE = 2048  # pixels; larger images are converted tile by tile
_TIFF_TILE_SIZE = (322, 323)  # tags

# Decoders inside this process only: some others of Pillow (EPS) start an external program that runs the file.
FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
_REGISTERED = (TiffImagePlugin, WebPImagePlugin)  # importing them here keeps Pillow from loading all
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # images are decoded side by side already
with suppress(ImportError):
    pillow_heif: Any = importlib.import_module("pillow_heif")
    pillow_heif.register_heif_opener(decode_threads=1)
    FORMATS = (*FORMATS, "HEIF")

_ORIENTATION = 0x0112  # an EXIF tag; from 5 on width and height change places
_MIRRORED, _UPSIDE_DOWN = (2, 3, 6, 7), (3, 4, 7, 8)  # what was right is left, what was below is above
_REASON_LENGTH = 160

# Once, because `warnings.catch_warnings` is not safe in the threads that decode.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImageError(Exception):
    """The bytes are not a usable image; the message is the reason, in few words."""


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    Attributes:
        image: RGB, upright.
        size: width and height of the upright original, in pixels.
        shrink: 2, 4 or 8 if a JPEG was decoded at 1/2, 1/4 or 1/8, else 1; `image` has `size` over `shrink`, rounded up.
        origin: position in `image` of the upper left corner of the original. It is not 0 if the side that was rounded up has
            become the left or the upper side by a rotation.
    """

    image: Image.Image
    size: PixelSize
    shrink: int = 1
    origin: tuple[float, float] = (0.0, 0.0)


def decode_image(data: bytes) -> Image.Image:
    """`decode_at_least` at full size."""
    return decode_at_least(data).image


def decode_at_least(data: bytes, needed: Callable[[PixelSize], PixelSize] | None = None) -> DecodedImage:
    """Decode JPEG (and MPO), PNG, WebP, GIF, BMP, TIFF, PPM, AVIF or HEIF (with pillow-heif) as RGB, by content.

    EXIF rotation is applied; a damaged EXIF block is ignored. Transparent pixels are put on white. Of several frames or pages
    the first is used. 16-bit grey is scaled to 8 bits, unless all values fit 8 bits; 16-bit colour loses its low byte. CMYK is
    read inverted, as Adobe writes it and all viewers expect. Colour profiles are not applied.

    Args:
        data: the encoded file.
        needed: gives the least width and height that are enough, from those of the upright original. A JPEG is then decoded at
            the smallest of 1/8, 1/4, 1/2 of its size that has them. This saves most of the inverse cosine transform.
    Raises:
        UnreadableImageError: the file is empty, truncated, damaged or of another format; the image is larger than `MAX_PIXELS`
            (or the environment variable MINER_MAX_PIXELS), or its type has no agreed range (floating point, 32-bit integers).
        UsageError: MINER_MAX_PIXELS is not a positive number.
    """
    with decoding(data, needed) as picture:
        return picture


@contextmanager
def decoding(data: bytes, needed: Callable[[PixelSize], PixelSize] | None = None) -> Iterator[DecodedImage]:
    """`decode_at_least` as a context, for threads that go on with the image; of large images there is one at a time."""
    with ExitStack() as room:
        yield _decoded(data, needed, room)


def _decoded(data: bytes, needed: Callable[[PixelSize], PixelSize] | None, room: ExitStack) -> DecodedImage:
    limit = _max_pixels()
    if not data:
        raise UnreadableImageError("empty file")
    try:
        return _decode(data, needed, limit, room)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError(f"no known image format{foreign_kind(data)}") from None
    except Image.DecompressionBombError:
        raise UnreadableImageError(f"too large: more than {limit} pixels") from None
    except Exception as error:  # a damaged file can raise anything from inside a codec
        smaller = without_large_text(data) if isinstance(error, ValueError) else data
        if len(smaller) < len(data):
            return _decoded(smaller, needed, room)
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UnreadableImageError(reason[:_REASON_LENGTH]) from error


def _decode(data: bytes, needed: Callable[[PixelSize], PixelSize] | None, limit: int, room: ExitStack) -> DecodedImage:
    image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    pixels = max(image.width * image.height, _tile_pixels(image))
    if pixels > limit:
        raise UnreadableImageError(f"too large: {image.width} x {image.height}")
    wanted = needed if isinstance(image, JpegImagePlugin.JpegImageFile) else None
    drafted = _draft(image, wanted) if wanted else None
    if drafted and "progressive" not in image.info:  # a progressive file is held as a whole until its last byte
        pixels = image.width * image.height
    size_bytes = pixels * _BYTES_PER_PIXEL.get(image.format or "", _USUAL_BYTES_PER_PIXEL)
    room.enter_context(alone_if_large(size_bytes))
    if size_bytes > bytes_for_images():
        raise UnreadableImageError(f"too large for the free memory: {image.width} x {image.height}")
    image.load()
    image = _upright(image)
    upright = _to_rgb(image)
    return replace(drafted, image=upright) if drafted else DecodedImage(upright, upright.size)


def _tile_pixels(image: Image.Image) -> int:
    """Pixels of a tile of a TIFF, which may be larger than the image."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    sides = [image.tag_v2.get(tag) for tag in _TIFF_TILE_SIZE]
    return prod(side for side in sides if isinstance(side, int)) if all(sides) else 0


def _max_pixels() -> int:
    chosen = os.environ.get("MINER_MAX_PIXELS")
    return _chosen_limit(chosen) if chosen else MAX_PIXELS


@cache
def _chosen_limit(text: str) -> int:
    """MINER_MAX_PIXELS as a number; Pillow's own limit is raised to it once."""
    if not text.isdecimal() or int(text) == 0:
        raise UsageError(f"MINER_MAX_PIXELS is {text!r}; it must be a number of pixels such as {MAX_PIXELS}.")
    limit = int(text)
    Image.MAX_IMAGE_PIXELS = max(limit, Image.MAX_IMAGE_PIXELS or limit)
    return limit


def _draft(image: Image.Image, needed: Callable[[PixelSize], PixelSize]) -> DecodedImage:
    """Prepare a JPEG to be decoded at a fraction of its size; the result describes it, but is not decoded yet."""
    orientation, full = _orientation(image), image.size
    size = full[::-1] if orientation >= 5 else full
    width, height = needed(size)[::-1] if orientation >= 5 else needed(size)
    drafted = image.draft(None, (max(width, 1), max(height, 1)))
    shrink = round(full[0] / drafted[1][2]) if drafted else 1
    excess = [-(-side // shrink) - side / shrink for side in size]
    origin = (excess[0] if orientation in _MIRRORED else 0.0, excess[1] if orientation in _UPSIDE_DOWN else 0.0)
    return DecodedImage(image, size, shrink, origin)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1, which is upright, if it is missing or damaged."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF says nothing about the pixels
        return 1
    return found if found in range(2, 9) else 1


def _upright(image: Image.Image) -> Image.Image:
    if _orientation(image) == 1:
        return image
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # as above
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_wide_grey(image)
    if image.mode == "F":
        raise UnreadableImageError("floating-point pixels have no agreed range")
    if image.has_transparency_data:
        return _by_tiles(image, _on_white)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    opaque = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")


def _from_wide_grey(image: Image.Image) -> Image.Image:
    """RGB of 16-bit grey; 8-bit values in a wider type are not scaled, because they would become black."""
    peak = max(np.asarray(image.crop(box)).max() for box in _tiles(image.size))
    if peak > 65535:
        raise UnreadableImageError("32-bit pixels have no agreed range")
    scale = 257.0 if peak > 255 else 1.0

    def scaled(tile: Image.Image) -> Image.Image:
        levels = np.asarray(tile, np.float64) / scale
        return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).convert("RGB")

    return _by_tiles(image, scaled)


def _by_tiles(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """RGB, converted tile by tile, so that memory holds no third copy of a large image."""
    rgb = Image.new("RGB", image.size)
    for box in _tiles(image.size):
        rgb.paste(convert(image.crop(box)), box[:2])
    return rgb


def _tiles(size: PixelSize) -> Iterator[tuple[int, int, int, int]]:
    width, height = size
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            yield left, top, min(left + _TILE, width), min(top + _TILE, height)
