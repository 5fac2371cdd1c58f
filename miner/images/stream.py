"""Images that stay in their files: a step's images are decoded while the steps before it are computed."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from miner.images.canvases import canvas_pixels, decoding_threads
from miner.source import Entry, Source

_STEPS_AHEAD = 2
_PER_TASK = 16


class StreamedImages:
    """Rows of pixels like a tensor of all canvases, which is never made: rows are read at random and decoded when asked for.

    Memory holds three steps of pixels at most, however many images there are. Rows may come in any order, so the order of a
    run is a global shuffle: every order of all items is equally likely, and images that lie side by side in a shard, such as
    mined neighbours, do not meet in a batch more often than others. Nothing is drawn here and nothing depends on the threads,
    so that a run gives the same bytes as one with all its images in memory.

    Args:
        source: of the entries.
        entries: the images by row.
        side: of a canvas in pixels.
        workers: threads that decode; 0 means one per core, at most 8.
    """

    device = torch.device("cpu")

    def __init__(self, source: Source, entries: Sequence[Entry], side: int, workers: int) -> None:
        self._source, self._entries, self._side = source, entries, side
        self._pool = ThreadPoolExecutor(decoding_threads(workers))
        self._expected: Iterator[Tensor] = iter(())
        self._begun: deque[_Step] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Pixels of some images: uint8 (rows, 3, side, side), on the CPU, pinned where there is a GPU.

        Args:
            rows: int64 (rows,), on the CPU.
        Raises:
            MinerError: one of them cannot be decoded.
        """
        if not self._begun or not torch.equal(self._begun[0].rows, rows):
            return self._begin(rows).pixels()
        step = self._begun.popleft()
        self._begin_expected()
        return step.pixels()

    def expect(self, steps: Iterable[Tensor]) -> None:
        """Decode what will be asked for before it is: two steps ahead. Other rows may be asked for in between.

        Args:
            steps: rows of each step, int64 (rows,), on the CPU.
        """
        self._expected = iter(steps)
        self._begun.clear()
        self._begin_expected()

    def _begin_expected(self) -> None:
        while len(self._begun) <= _STEPS_AHEAD and (rows := next(self._expected, None)) is not None:
            self._begun.append(self._begin(rows))

    def _begin(self, rows: Tensor) -> "_Step":
        # Both views of an item without a pair show one image, which is decoded once.
        distinct, places = torch.unique(rows, return_inverse=True)
        canvases = torch.empty(len(distinct), 3, self._side, self._side, dtype=torch.uint8)
        parts = zip(torch.split(distinct, _PER_TASK), torch.split(canvases, _PER_TASK), strict=True)
        return _Step(rows, places, canvases, [self._pool.submit(self._decode, *part) for part in parts])

    def _decode(self, rows: Tensor, canvases: Tensor) -> None:
        for row, canvas in zip(rows.tolist(), canvases.numpy(), strict=True):
            canvas[:] = canvas_pixels(self._source, self._entries[row], self._side)


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
