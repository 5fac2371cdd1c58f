"""Encoded bytes to RGB, the same way in every stage."""

import io
import os
import warnings
from functools import cache

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from miner.errors import UsageError

MAX_PIXELS = 179_000_000  # about 0.5 GB as RGB; Pillow's own limit for a decompression bomb

# Decoders inside this process only: some others of Pillow (EPS) start an external program that runs the file.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
_REGISTERED = (TiffImagePlugin, WebPImagePlugin)  # importing them here keeps Pillow from loading all

_REASON_LENGTH = 160
_WEB_PAGE_STARTS = (b"<!doctype html", b"<html", b"<head", b"<?xml")

# Once, because `warnings.catch_warnings` is not safe in the threads that decode.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImageError(Exception):
    """Bytes that are no usable image; the message is the reason, in few words."""


def decode_image(data: bytes) -> Image.Image:
    """Decode JPEG (and MPO), PNG, WebP, GIF, BMP, TIFF or PPM as RGB, whatever the file is called.

    EXIF rotation is applied; a damaged EXIF block is ignored. Alpha and transparent colours are laid on white. Of several
    frames or pages the first is taken. 16-bit grey is scaled to 8 bits (values that all fit 8 bits already are kept), 16-bit
    colour loses its low byte. CMYK is read inverted, as Adobe writes it and all viewers expect; colour profiles are not
    applied.

    Args:
        data: the encoded file.
    Raises:
        UnreadableImageError: empty, truncated, damaged, of another format, larger than `MAX_PIXELS` (or the environment's
            MINER_MAX_PIXELS), or of a kind without an agreed range (floating point, 32-bit integers).
        UsageError: MINER_MAX_PIXELS is not a positive number.
    """
    limit = _max_pixels()
    if not data:
        raise UnreadableImageError("empty file")
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > limit:
            raise UnreadableImageError(f"too large: {image.width} x {image.height}")
        image.load()
        return _to_rgb(_upright(image))
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError(_what_else(data)) from None
    except Image.DecompressionBombError:
        raise UnreadableImageError(f"too large: more than {limit} pixels") from None
    except Exception as error:  # a damaged file can raise anything from inside a codec
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UnreadableImageError(reason[:_REASON_LENGTH]) from error


def _max_pixels() -> int:
    chosen = os.environ.get("MINER_MAX_PIXELS")
    return _chosen_limit(chosen) if chosen else MAX_PIXELS


@cache
def _chosen_limit(text: str) -> int:
    """MINER_MAX_PIXELS as a number; Pillow's own limit is lifted to it once."""
    if not text.isdecimal() or int(text) == 0:
        raise UsageError(f"MINER_MAX_PIXELS is {text!r}; it must be a number of pixels such as {MAX_PIXELS}.")
    limit = int(text)
    Image.MAX_IMAGE_PIXELS = max(limit, Image.MAX_IMAGE_PIXELS or limit)
    return limit


def _what_else(data: bytes) -> str:
    start = data[:256].lstrip().lower()
    return "no known image format" + (" (a web page)" if start.startswith(_WEB_PAGE_STARTS) else "")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF is a side note: its damage says nothing about the pixels
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_wide_grey(np.asarray(image, np.float64))
    if image.mode == "F":
        raise UnreadableImageError("floating-point pixels have no agreed range")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _from_wide_grey(grey: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> Image.Image:
    """RGB of 16-bit grey; 8-bit values in a wider type are kept, because scaled they would be black."""
    if grey.max(initial=0) > 65535:
        raise UnreadableImageError("32-bit pixels have no agreed range")
    scale = 257.0 if grey.max(initial=0) > 255 else 1.0
    return Image.fromarray(np.clip(grey / scale, 0, 255).astype(np.uint8)).convert("RGB")
