"""Whole images for training: each keeps its shape, and its short side is bounded."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miner.images.loading import check_memory, decode_entry, decode_in_order, probe_sizes
from miner.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from miner.images.ragged import Pixels, RaggedImages
from miner.images.resize import PixelSize
from miner.machine.memory import free_bytes
from miner.source import Entry, Source


def load_whole(source: Source, entry: Entry, bound: int) -> NDArray[np.uint8]:
    """One image, uint8 (3, height, width). A short side above `bound` pixels is resized to them; smaller images stay.

    Raises:
        MinerError: it cannot be decoded.
    """
    whole = _whole(bound)
    return whole.pixels_of(decode_entry(source, entry, whole)).transpose(2, 0, 1)


def expected_bytes(sizes: Sequence[PixelSize], count: int, bound: int) -> int:
    """About how much memory `count` whole images take, if they are as those of these widths and heights."""
    resized = map(_whole(bound).resized, sizes)
    return round(3 * count * fmean(width * height for width, height in resized))


def _whole(bound: int) -> Preprocess:
    return Preprocess(bound, bound, "bilinear", IMAGENET_MEAN, IMAGENET_STD, "whole")


@contextmanager
def pixel_file() -> Iterator[tuple[IO[bytes], Path]]:
    """An empty file in memory for the pixels of all images, and a path by which other processes of this machine map it.

    On Linux that is anonymous memory, elsewhere a temporary file. It is freed when it is closed and nothing maps it.
    """
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("miner-images"), "w+b") as file:  # noqa: PTH123 (it has no path of its own)
            yield file, Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
    else:
        with tempfile.NamedTemporaryFile(prefix="miner-") as file:
            yield file, Path(file.name)


def write_images(
    file: IO[bytes], source: Source, entries: Sequence[Entry], bound: int, workers: int, title: str = "decode"
) -> Tensor:
    """Decode all images into a file, and return height and width of each, int64 (n, 2).

    Args:
        bound: most pixels of a short side.
        workers: threads; 0 means one per core.
    Raises:
        MinerError: an image cannot be decoded.
    """
    shapes = []
    for pixels in decode_in_order(entries, lambda entry: load_whole(source, entry, bound), workers, title):
        file.write(pixels.tobytes())
        shapes.append(pixels.shape[1:])
    file.flush()
    return torch.tensor(shapes)


def map_images(path: Path, shapes: Tensor) -> Pixels:
    """The images of a `pixel_file`: uint8 (n, 3, height, width) if all have one shape, else ragged."""
    return RaggedImages.of(torch.from_numpy(np.memmap(path, np.uint8, "r+")), shapes).stacked()


def load_images(source: Source, entries: Sequence[Entry], bound: int, workers: int, title: str) -> Pixels:
    """All images in memory; arguments are those of `write_images`.

    Raises:
        MinerError: the images would fill more than half of the free memory, or one cannot be decoded.
    """
    check_memory(expected_bytes(probe_sizes(source, entries), len(entries), bound), bound, free_bytes())
    with pixel_file() as (file, path):
        return map_images(path, write_images(file, source, entries, bound, workers, title))
