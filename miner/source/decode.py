"""Encoded bytes to RGB, the same way in every stage."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 179_000_000  # about 0.5 GB as RGB; Pillow's own limit for a decompression bomb


class UnreadableImageError(Exception):
    """Bytes that are no usable image; the message is the reason, in few words."""


def decode_image(data: bytes) -> Image.Image:
    """Decode an image as RGB: EXIF rotation applied, alpha laid on white, 16-bit grey scaled, first frame of several.

    Args:
        data: the encoded file.
    Raises:
        UnreadableImageError: empty, truncated, of an unknown format, or larger than `MAX_PIXELS`.
    """
    if not data:
        raise UnreadableImageError("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImageError(f"too large: {image.width} x {image.height}")
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError("no known image format") from None
    except Exception as error:  # a damaged file can raise anything from inside a codec
        raise UnreadableImageError(f"{type(error).__name__}: {' '.join(str(error).split())[:160]}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        grey = np.asarray(image, np.float64)
        scale = 257.0 if grey.max(initial=0) > 255 else 1.0
        return Image.fromarray(np.clip(grey / scale, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
