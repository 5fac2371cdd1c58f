"""One image of a source as the pixels that an encoder takes, or the reason why it cannot be used."""

import hashlib
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.images import EmbeddedImage, UnusableImage
from miner.images.decode import DecodedImage, UnreadableImageError, decoding
from miner.images.preprocess import Preprocess
from miner.images.resize import PixelSize
from miner.machine.memory import alone_if_large
from miner.source import Entry, Source
from miner.source.base import MAX_FILE_BYTES

Decoded = EmbeddedImage | UnusableImage


def decode_into(
    pixels: NDArray[np.uint8],
    source: Source,
    entry: Entry,
    preprocess: Preprocess,
    draft: float | None = None,
    fast: bool = False,
) -> Decoded:
    """Read, decode and preprocess an image.

    Args:
        pixels: receives its pixels, uint8 (crop, crop, 3).
        draft: decode a JPEG at 1/2, 1/4 or 1/8 of its size if at least `draft` pixels are left per pixel of the resized image.
        fast: resize with pixels that are nearly the same; see `fast_resize_window`.
    """

    def preprocessed(picture: DecodedImage) -> None:
        pixels[:] = preprocess.pixels_of(picture, fast)

    return inspected(source, entry, preprocessed, partial(preprocess.needed, factor=draft) if draft else None)


def inspected(
    source: Source,
    entry: Entry,
    use: Callable[[DecodedImage], None] | None = None,
    needed: Callable[[PixelSize], PixelSize] | None = None,
) -> Decoded:
    """Read and decode an image.

    Args:
        use: is called with the image.
        needed: as of `decoding`.
    """
    if entry.size_bytes > MAX_FILE_BYTES:
        return UnusableImage(entry.key, entry.path, f"file larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        with alone_if_large(entry.size_bytes):
            data = source.read(entry)
            with decoding(data, needed) as picture:
                if use is not None:
                    use(picture)
                width, height = picture.size
                del picture  # the next image may be as large
            sha256, size_bytes = hashlib.sha256(data).hexdigest(), len(data)
            del data
    except OSError as error:
        return UnusableImage(entry.key, entry.path, f"not readable: {error.strerror or error}")
    except MemoryError:
        return UnusableImage(entry.key, entry.path, "too large for the free memory")
    except UnreadableImageError as error:
        return UnusableImage(entry.key, entry.path, str(error))
    return EmbeddedImage(entry.key, entry.path, entry.label, width, height, entry.extension, size_bytes, sha256)
