"""One image of a source as the pixels that an encoder takes, or the reason why not."""

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.images.decode import UnreadableImageError, decode_at_least
from miner.images.preprocess import Preprocess
from miner.source import Entry, Source
from miner.source.base import MAX_FILE_BYTES


@dataclass(frozen=True)
class Decoded:
    """What is known of an image beside its pixels; `reason` is empty if it could be used."""

    entry: Entry
    width: int = 0
    height: int = 0
    size_bytes: int = 0
    sha256: str = ""
    reason: str = ""

    def row(self) -> dict[str, Any]:
        """Of the metadata table."""
        entry = self.entry
        return {
            "key": entry.key,
            "path": entry.path,
            "label": entry.label,
            "width": self.width,
            "height": self.height,
            "extension": entry.extension,
            "bytes": self.size_bytes,
            "sha256": self.sha256,
        }


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
        pixels: where its pixels go, uint8 (crop, crop, 3).
        draft: decode a JPEG at 1/2, 1/4 or 1/8 of its size if that leaves so many pixels per pixel of the resized image.
        fast: resize with pixels that are nearly the same; see `fast_resize_window`.
    """
    if entry.size_bytes > MAX_FILE_BYTES:
        return Decoded(entry, reason=f"file larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        data = source.read(entry)
        picture = decode_at_least(data, partial(preprocess.needed, factor=draft) if draft else None)
        pixels[:] = preprocess.pixels_of(picture, fast)
    except OSError as error:
        return Decoded(entry, reason=f"not readable: {error.strerror or error}")
    except UnreadableImageError as error:
        return Decoded(entry, reason=str(error))
    return Decoded(entry, *picture.size, len(data), hashlib.sha256(data).hexdigest())
