"""Where the images of a run are held: decoded in memory, or in their files, decoded a few steps ahead."""

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from miner.images.canvases import Canvases, decoding_threads, load_canvas, load_canvases
from miner.machine.memory import free_bytes
from miner.source import Entry, Source

_STEPS_AHEAD = 2
_PER_TASK = 16


def hold_images(
    data: str, source: Source, entries: Sequence[Entry], side: int, workers: int, *, memory_bytes: int | None = None
) -> Canvases:
    """Hold images in memory or in their files, as `--data` says. auto is memory if they take half of the free memory at most.

    Args:
        data: auto, memory or stream.
        entries: the images by row.
        side: the side of a canvas in pixels.
        memory_bytes: free memory; measured if not given.
    Raises:
        MinerError: memory is asked for and too small, or an image cannot be decoded.
    """
    size_bytes = len(entries) * 3 * side * side
    free = free_bytes() if memory_bytes is None else memory_bytes
    if data == "memory" or (data == "auto" and size_bytes <= free // 2):
        return load_canvases(source, entries, side, workers, "decode", memory_bytes=free)
    print(
        f"images are decoded step by step: all of them would take {size_bytes / 1e9:.1f} GB of memory", file=sys.stderr
    )
    return StreamedImages(source, entries, side, workers)


class StreamedImages:
    """The canvases of images, by row, like a tensor that holds all of them; rows are decoded when they are needed.

    Memory holds the pixels of three steps at most, for any number of images. Rows may come in any order, so a run can shuffle
    globally: images that lie side by side in a shard, such as mined neighbours, share a batch no more often than others. Nothing is
    random here and nothing depends on the threads, so a run ends with the same bytes as with all images in memory.

    Args:
        entries: the images by row.
        side: the side of a canvas in pixels.
        workers: threads that decode; 0 means one per core, at most 8.
    """

    device = torch.device("cpu")

    def __init__(self, source: Source, entries: Sequence[Entry], side: int, workers: int) -> None:
        self._source, self._entries, self._side = source, entries, side
        self._pool = ThreadPoolExecutor(decoding_threads(workers))
        self._expected: Iterator[Tensor] = iter(())
        self._started: deque[_Step] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Canvases of some images: uint8 (rows, 3, side, side), on the CPU; in pinned memory if there is a GPU.

        Args:
            rows: int64 (rows,), on the CPU.
        Raises:
            MinerError: one of them cannot be decoded.
        """
        if not self._started or not torch.equal(self._started[0].rows, rows):
            return self._start(rows).pixels()
        step = self._started.popleft()
        self._start_expected()
        return step.pixels()

    def expect(self, steps: Iterable[Tensor]) -> None:
        """Decode the rows of future steps, two steps ahead. Other rows may be read in between.

        Args:
            steps: rows of each step, int64 (rows,), on the CPU.
        """
        self._expected = iter(steps)
        self._started.clear()
        self._start_expected()

    def _start_expected(self) -> None:
        while len(self._started) <= _STEPS_AHEAD and (rows := next(self._expected, None)) is not None:
            self._started.append(self._start(rows))

    def _start(self, rows: Tensor) -> "_Step":
        # Both views of an own-view item show one image, which is decoded once.
        distinct, places = torch.unique(rows, return_inverse=True)
        canvases = torch.empty(len(distinct), 3, self._side, self._side, dtype=torch.uint8)
        parts = zip(torch.split(distinct, _PER_TASK), torch.split(canvases, _PER_TASK), strict=True)
        return _Step(rows, places, canvases, [self._pool.submit(self._decode, *part) for part in parts])

    def _decode(self, rows: Tensor, canvases: Tensor) -> None:
        for row, canvas in zip(rows.tolist(), canvases.numpy(), strict=True):
            canvas[:] = load_canvas(self._source, self._entries[row], self._side)


class _Step:
    """Rows whose images are being decoded, each into one of the canvases."""

    def __init__(self, rows: Tensor, places: Tensor, canvases: Tensor, tasks: list[Future[None]]) -> None:
        self.rows, self._places, self._canvases, self._tasks = rows, places, canvases, tasks

    def pixels(self) -> Tensor:
        """Wait for the images; uint8 (rows, 3, side, side)."""
        for task in self._tasks:
            task.result()
        size = (len(self.rows), *self._canvases.shape[1:])
        pixels = torch.empty(size, dtype=torch.uint8, pin_memory=torch.cuda.is_available())
        return torch.index_select(self._canvases, 0, self._places, out=pixels)
