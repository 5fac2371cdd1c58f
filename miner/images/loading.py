"""Many images from their files: sizes, threads that decode, and the central squares that an evaluation takes."""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from miner.engine import Progress
from miner.errors import MinerError
from miner.images.decode import DecodedImage, UnreadableImageError, decode_at_least
from miner.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from miner.images.resize import PixelSize
from miner.machine.memory import free_bytes
from miner.source import Entry, Source

_MIN_DRAFT = 2.0  # pixels of a JPEG that is decoded smaller, per pixel of the result
_PROBED = 64
_PER_TASK = 64


def probe_sizes(source: Source, entries: Sequence[Entry]) -> list[PixelSize]:
    """Width and height of up to 64 images at equal distances; only their headers are read.

    Raises:
        MinerError: an image cannot be read.
    """
    probed = np.linspace(0, len(entries) - 1, min(_PROBED, len(entries)), dtype=int)
    return [_size(source, entries[row]) for row in probed]


def typical_side(sizes: Sequence[PixelSize]) -> int:
    """Median of the short sides, in pixels."""
    return int(median(map(min, sizes)))


def load_squares(
    source: Source,
    entries: Sequence[Entry],
    side: int,
    workers: int,
    title: str,
    *,
    crop: float = 1.0,
    memory_bytes: int | None = None,
) -> Tensor:
    """Decode every image and resize its central square to `side`.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that leaves twice the pixels of the result in each direction.

    Args:
        entries: n of them, in the order of the result.
        workers: threads; 0 means one per core.
        crop: side of the square over the short side of the image. Below 1, the short side is resized to `side / crop` pixels and
            the centre cropped, as torchvision does.
        memory_bytes: free memory; measured if not given.
    Returns:
        uint8 (n, 3, side, side).
    Raises:
        MinerError: the images would fill more than half of the free memory, or one cannot be decoded.
    """
    check_memory(len(entries) * 3 * side * side, side, free_bytes() if memory_bytes is None else memory_bytes)
    mode, resize = ("square", side) if crop == 1.0 else ("center", round(side / crop))
    square = Preprocess(resize, side, "bilinear", IMAGENET_MEAN, IMAGENET_STD, mode)  # type: ignore[arg-type]

    def decode(entry: Entry) -> NDArray[np.uint8]:
        return square.pixels_of(decode_entry(source, entry, square)).transpose(2, 0, 1)

    squares = np.empty((len(entries), 3, side, side), np.uint8)
    for row, pixels in enumerate(decode_in_order(entries, decode, workers, title)):
        squares[row] = pixels
    return torch.from_numpy(squares)


def decode_entry(source: Source, entry: Entry, preprocess: Preprocess) -> DecodedImage:
    """Decode one image, a JPEG smaller if that leaves twice the pixels of the result in each direction.

    Raises:
        MinerError: it cannot be decoded.
    """
    try:
        return decode_at_least(source.read(entry), partial(preprocess.needed, factor=_MIN_DRAFT))
    except (UnreadableImageError, OSError) as error:
        raise _unusable(entry, error) from error


def decode_in_order(
    entries: Sequence[Entry], decode: Callable[[Entry], NDArray[np.uint8]], workers: int, title: str
) -> Iterator[NDArray[np.uint8]]:
    """What `decode` makes of each entry, in their order; `workers` threads decode."""

    def decode_some(start: int) -> list[NDArray[np.uint8]]:
        return [decode(entry) for entry in entries[start : start + _PER_TASK]]

    threads = ThreadPoolExecutor(decoding_threads(workers))
    with Progress(title, total=len(entries), item="images") as progress, threads as pool:
        try:
            for images in pool.map(decode_some, range(0, len(entries), _PER_TASK)):
                yield from images
                progress.advance(len(images))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def decoding_threads(workers: int) -> int:
    """The number of threads as given; for 0 one per core."""
    return workers or os.cpu_count() or 1


def check_memory(needed_bytes: int, side: int, free: int) -> None:
    """Pass if the images take half of the free memory at most.

    Raises:
        MinerError: they take more.
    """
    if needed_bytes > free // 2:
        raise MinerError(
            f"The images at {side} pixels take {needed_bytes / 1e9:.1f} GB of memory, more than half of the "
            f"{free / 1e9:.1f} GB that are free. Use fewer (--limit), smaller ones (--image-size), or a larger machine."
        )


def _size(source: Source, entry: Entry) -> PixelSize:
    try:
        with Image.open(io.BytesIO(source.read(entry))) as image:
            return image.size
    except (OSError, Image.DecompressionBombError) as error:
        raise _unusable(entry, error) from error


def _unusable(entry: Entry, error: Exception) -> MinerError:
    reason = "no known image format" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())
    return MinerError(
        f"The image {entry.path} (key {entry.key}) cannot be used: {reason}. Repair or remove it; `miner embed` leaves "
        "such images out and lists them in embeddings/errors.parquet."
    )
