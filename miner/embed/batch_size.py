"""How many images per forward pass are worth while, found by trying."""

import time
from collections.abc import Callable, Iterator

import torch

BATCH_ON_GPU, BATCH_ON_CPU = 512, 16  # on a CPU each core has a batch of its own
_LARGEST = 8192
_GAIN = 1.05
_ENOUGH_IMAGES = {"cpu": 10_000, "cuda": 20_000}  # a probe of about a second pays from here on
_TIMED_S = 0.25


def default_batch_size(device: torch.device) -> int:
    """What is used without a probe."""
    return BATCH_ON_CPU if device.type == "cpu" else BATCH_ON_GPU


def find_batch_size(encode: Callable[[torch.Tensor], object], side: int, images: int, device: torch.device) -> int:
    """The smallest batch size of those tried that doubling does not make faster by 5 %.

    Args:
        encode: takes uint8 (n, side, side, 3) in host memory; it returns when the vectors are there, on a CPU when every
            thread has them, and raises torch.OutOfMemoryError or MemoryError where they do not fit.
        side: of the encoder's input, in pixels.
        images: of the source; with few the default is as good.
        device: a CPU is tried from 2 to 64, a GPU from 32 up to where its memory ends.
    """
    if images < _ENOUGH_IMAGES.get(device.type, 0):
        return default_batch_size(device)
    sizes = [2, 4, 8, 16, 32, 64] if device.type == "cpu" else [32 << step for step in range(9)]
    return worth_while((size, _rate(encode, side, size)) for size in sizes if size <= min(_LARGEST, images))


def worth_while(rates: Iterator[tuple[int, float]]) -> int:
    """The size after which the rate stops growing by 5 %; a rate of 0 says that a size does not fit."""
    size, best = next(rates)
    for larger, rate in rates:
        if rate < best * _GAIN:
            break
        size, best = larger, rate
    return size


def _rate(encode: Callable[[torch.Tensor], object], side: int, size: int) -> float:
    """Images per second; 0 if such a batch does not fit."""
    pixels = torch.zeros(size, side, side, 3, dtype=torch.uint8)
    try:
        encode(pixels)
        started, runs = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < _TIMED_S:
            encode(pixels)
            runs += 1
    except (torch.OutOfMemoryError, MemoryError):
        return 0.0
    return runs * size / elapsed
