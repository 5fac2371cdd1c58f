"""Canvases: images as squares of pixels, all of one size, from which views are cropped."""

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from miner.engine import Progress
from miner.errors import MinerError
from miner.images.decode import UnreadableImageError, decode_at_least
from miner.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from miner.machine.memory import free_bytes
from miner.source import Entry, Source

_MIN_DRAFT = 2.0
_PROBED = 64
_PER_TASK = 64
_STATISTICS_SAMPLE = 10_000
_STATISTICS_PART = 250


def typical_side(source: Source, entries: Sequence[Entry]) -> int:
    """Median of the short sides of up to 64 images, in pixels; only their headers are read.

    Raises:
        MinerError: an image cannot be read.
    """
    probed = [entries[i] for i in np.linspace(0, len(entries) - 1, min(_PROBED, len(entries)), dtype=int)]
    return int(median(_short_side(source, entry) for entry in probed))


def load_canvases(
    source: Source, entries: Sequence[Entry], side: int, workers: int, title: str, *, memory_bytes: int | None = None
) -> Tensor:
    """Decode every image and resize its central square to `side`.

    Args:
        entries: n of them, in the order of the result.
        workers: threads; 0 means one per core, at most 8.
        memory_bytes: free memory; measured if not given.
    Returns:
        uint8 (n, 3, side, side).
    Raises:
        MinerError: the images would fill more than half of the free memory, or one cannot be decoded.
    """
    _check_memory(len(entries) * 3 * side * side, side, free_bytes() if memory_bytes is None else memory_bytes)
    canvas = np.empty((len(entries), 3, side, side), np.uint8)

    def fill(start: int) -> int:
        chunk = entries[start : start + _PER_TASK]
        for row, entry in enumerate(chunk, start):
            canvas[row] = load_canvas(source, entry, side)
        return len(chunk)

    threads = ThreadPoolExecutor(decoding_threads(workers))
    with Progress(title, total=len(entries), item="images") as progress, threads as pool:
        try:
            for count in pool.map(fill, range(0, len(entries), _PER_TASK)):
                progress.advance(count)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return torch.from_numpy(canvas)


def load_canvas(source: Source, entry: Entry, side: int) -> NDArray[np.uint8]:
    """The canvas of one image: uint8 (3, side, side).

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that leaves twice the pixels of the canvas in each direction.

    Raises:
        MinerError: it cannot be decoded.
    """
    square = Preprocess(side, side, "bilinear", IMAGENET_MEAN, IMAGENET_STD, "square")
    try:
        picture = decode_at_least(source.read(entry), partial(square.needed, factor=_MIN_DRAFT))
    except (UnreadableImageError, OSError) as error:
        raise _unusable(entry, error) from error
    return square.pixels_of(picture).transpose(2, 0, 1)


def decoding_threads(workers: int) -> int:
    """The number of threads as given; for 0 one per core, at most 8."""
    return workers or min(8, os.cpu_count() or 1)


class Canvases(Protocol):
    """What a tensor of canvases and `StreamedImages` have in common: rows of pixels on one device."""

    @property
    def device(self) -> torch.device: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Tensor, /) -> Tensor: ...


def channel_statistics(images: Canvases) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel on the scale [0, 1], over up to 10,000 images, to four digits.

    Args:
        images: uint8 (n, 3, height, width).
    """
    rows = torch.linspace(0, len(images) - 1, min(_STATISTICS_SAMPLE, len(images))).long()
    levels = torch.arange(256, dtype=torch.float64) / 255.0
    counts = torch.zeros(3, 256, dtype=torch.float64)
    for part in torch.split(rows, _STATISTICS_PART):
        for channel, values in enumerate(images[part].transpose(0, 1)):
            counts[channel] += torch.bincount(values.flatten().int(), minlength=256)
    means, widths = [], []
    for share in counts / counts.sum(dim=1, keepdim=True):
        mean = (share * levels).sum()
        means.append(round(float(mean), 4))
        # Not 0, which images of a single colour would give.
        widths.append(max(round(float((share * (levels - mean) ** 2).sum().sqrt()), 4), 1 / 255))
    return tuple(means), tuple(widths)


def to_device(images: Tensor, device: torch.device) -> Tensor:
    """The images on the device if they take at most half of its free memory; else where they are."""
    if device.type != "cuda":
        return images
    free, _ = torch.cuda.mem_get_info(device)
    return images.to(device) if images.nbytes <= free // 2 else images


def _check_memory(needed_bytes: int, side: int, free: int) -> None:
    if needed_bytes > free // 2:
        raise MinerError(
            f"The images at {side} x {side} pixels take {needed_bytes / 1e9:.1f} GB of memory, more than half of the "
            f"{free / 1e9:.1f} GB that are free. Use fewer (--limit), smaller ones (--image-size), or a larger machine."
        )


def _short_side(source: Source, entry: Entry) -> int:
    try:
        with Image.open(io.BytesIO(source.read(entry))) as image:
            return min(image.size)
    except (OSError, Image.DecompressionBombError) as error:
        raise _unusable(entry, error) from error


def _unusable(entry: Entry, error: Exception) -> MinerError:
    reason = "no known image format" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())
    return MinerError(
        f"The image {entry.path} (key {entry.key}) cannot be used: {reason}. Repair or remove it; `miner embed` leaves "
        "such images out and lists them in embeddings/errors.parquet."
    )
