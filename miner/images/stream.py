"""Images that stay in their files and are decoded a few steps ahead."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from miner.images.loading import decoding_threads
from miner.images.ragged import Pixels, RaggedImages
from miner.images.whole import load_whole
from miner.source import Entry, Source

_STEPS_AHEAD = 4
_PER_TASK = 16


class StreamedImages:
    """Whole images, by row, as `load_images` holds them; rows are decoded when they are needed.

    Memory holds the pixels of five steps at most, for any number of images. Rows may come in any order, so a run can shuffle
    globally: images that lie side by side in a shard, such as mined neighbours, share a batch no more often than others. Nothing is
    random here and nothing depends on the threads, so a run ends with the same bytes as with all images in memory.

    Args:
        entries: the images by row.
        bound: most pixels of a short side.
        workers: threads that decode; 0 means one per core.
    """

    def __init__(self, source: Source, entries: Sequence[Entry], bound: int, workers: int) -> None:
        self._source, self._entries, self._bound = source, entries, bound
        self._pool = ThreadPoolExecutor(decoding_threads(workers))
        self._expected: Iterator[Tensor] = iter(())
        self._started: deque[_Decoding] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, rows: Tensor) -> Pixels:
        """Some images, on the CPU; in pinned memory if there is a GPU. What is decoded ahead does not change.

        Args:
            rows: int64 (rows,), on the CPU.
        Returns:
            uint8 (rows, 3, height, width) if all have one shape, else ragged.
        Raises:
            MinerError: one of them cannot be decoded.
        """
        return _gathered(rows, self._start(torch.unique(rows)).images())

    def expect(self, steps: Iterable[Tensor]) -> None:
        """Decode the rows of future steps, four steps ahead.

        Args:
            steps: rows of each step, int64 (rows,), on the CPU.
        """
        self._expected = iter(steps)
        self._started.clear()
        self._start_expected()

    def next_step(self, rows: Tensor) -> Pixels:
        """As `images[rows]`, with the images that were decoded ahead for this step. Only the others are decoded now.

        A method may replace some rows of a step by others, such as neighbours that it has found since.
        """
        ahead = self._started.popleft() if self._started else self._start(rows[:0])
        distinct = torch.unique(rows)
        missing = self._start(distinct[~torch.isin(distinct, ahead.rows)])
        self._start_expected()
        return _gathered(rows, ahead.images() | missing.images())

    def _start_expected(self) -> None:
        while len(self._started) <= _STEPS_AHEAD and (rows := next(self._expected, None)) is not None:
            # Both views of an own-view item show one image, which is decoded once.
            self._started.append(self._start(torch.unique(rows)))

    def _start(self, rows: Tensor) -> "_Decoding":
        return _Decoding(
            rows, [self._pool.submit(self._decode, part.tolist()) for part in torch.split(rows, _PER_TASK)]
        )

    def _decode(self, rows: list[int]) -> list[Tensor]:
        whole = (load_whole(self._source, self._entries[row], self._bound) for row in rows)
        return [torch.from_numpy(np.ascontiguousarray(pixels)) for pixels in whole]


@dataclass(frozen=True)
class _Decoding:
    """Rows, all distinct, whose images are being decoded."""

    rows: Tensor
    tasks: list[Future[list[Tensor]]]

    def images(self) -> dict[int, Tensor]:
        """Wait for the images; uint8 (3, height, width) by row."""
        return dict(zip(self.rows.tolist(), (image for task in self.tasks for image in task.result()), strict=True))


def _gathered(rows: Tensor, images: dict[int, Tensor]) -> Pixels:
    order, places = rows.tolist(), torch.arange(len(rows))
    if len({images[row].shape for row in order}) > 1:
        distinct, places = torch.unique(rows, return_inverse=True)
        order = distinct.tolist()
    shapes = torch.tensor([images[row].shape[1:] for row in order])
    pixels = torch.empty(3 * int(shapes.prod(dim=1).sum()), dtype=torch.uint8, pin_memory=torch.cuda.is_available())
    torch.cat([images[row].flatten() for row in order], out=pixels)
    return RaggedImages.of(pixels, shapes)[places].stacked()
