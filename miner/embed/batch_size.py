"""Images per forward pass: the default, and which of several sizes is worth its memory on this machine."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from miner.errors import MinerError
from miner.text import counted

BATCH_ON_GPU, BATCH_ON_CPU = 512, 16  # on a CPU each core has a batch of its own
_GAIN = 1.05
_TIMED_S = 0.25


def default_batch_size(device: torch.device) -> int:
    """The batch size of `miner embed` without `--batch-size`."""
    return BATCH_ON_CPU if device.type == "cpu" else BATCH_ON_GPU


def measured_rates(
    encode: Callable[[torch.Tensor], object], side: int, device: torch.device, sizes: Sequence[int] | None = None
) -> dict[int, float]:
    """Calls of `encode` times the batch size, per second, by batch size.

    Args:
        encode: takes uint8 (n, side, side, 3) in host memory, and returns when the vectors are in host memory. Where memory
            runs out, it raises torch.OutOfMemoryError or MemoryError; this size and larger ones are then left out.
        side: the side of the encoder's input, in pixels.
        device: a CPU is tried with 2 to 64 images, a GPU with 2 to 8192, as far as its memory goes.
        sizes: these instead, in ascending order.
    Raises:
        MinerError: not even the first size fits.
    """
    rates: dict[int, float] = {}
    for size in sizes or [2 << step for step in range(6 if device.type == "cpu" else 13)]:
        try:
            rates[size] = images_per_second(encode, torch.zeros(size, side, side, 3, dtype=torch.uint8))
        except (torch.OutOfMemoryError, MemoryError) as error:
            if not rates:
                raise MinerError(f"{counted(size, 'image')} do not fit into the memory of {device}.") from error
            break
    return rates


def images_per_second(
    encode: Callable[[torch.Tensor], object], pixels: torch.Tensor, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Images per second of `encode`, which is called for a quarter of a second or once; its first call does not count.

    Args:
        clock: in seconds; of the processor (`time.process_time`) where other programs must not matter.
    """
    encode(pixels)
    started, calls = clock(), 0
    while (elapsed_s := clock() - started) < _TIMED_S:
        encode(pixels)
        calls += 1
    return calls * len(pixels) / elapsed_s


def worth_while(rates: Mapping[int, float]) -> int:
    """The first size, in the order of `rates`, after which the next one does not gain 5 %."""
    sizes: Iterator[int] = iter(rates)
    best = next(sizes)
    for larger in sizes:
        if rates[larger] < rates[best] * _GAIN:
            break
        best = larger
    return best
