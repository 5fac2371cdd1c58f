"""Images that lie on the CPU or in their files, and are made ready for a device a few steps ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from miner.images.loading import decoding_threads
from miner.images.ragged import Pixels, RaggedImages
from miner.images.whole import load_whole
from miner.source import Entry, Source

_STEPS_AHEAD = 4
_PER_TASK = 16


class ImagesAhead:
    """Whole images, by row, of which threads gather those of the next steps, in pinned memory if there is a GPU.

    Memory holds the pixels of five steps at most, for any number of images. Rows may come in any order, so a run can shuffle
    globally: images that lie side by side in a shard, such as mined neighbours, share a batch no more often than others. Nothing is
    random here and nothing depends on the threads, so a run ends with the same bytes as with all images on the device.

    Args:
        count: of images.
        load: gives the image of a row, uint8 (3, height, width), on the CPU; called by threads.
        workers: threads that load; 0 means one per core.
    """

    def __init__(self, count: int, load: Callable[[int], Tensor], workers: int) -> None:
        self._count, self._load = count, load
        self._pool, self._packer = ThreadPoolExecutor(decoding_threads(workers)), ThreadPoolExecutor(1)
        self._expected: Iterator[Tensor] = iter(())
        self._started: deque[tuple[Tensor, Future[Pixels]]] = deque()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rows: Tensor) -> Pixels:
        """Some images, on the CPU. What is made ready ahead does not change.

        Args:
            rows: int64 (rows,), on the CPU.
        Returns:
            uint8 (rows, 3, height, width) if all have one shape, else ragged.
        Raises:
            MinerError: one of them cannot be decoded.
        """
        return self._start(rows)()

    def expect(self, steps: Iterable[Tensor]) -> None:
        """Make the rows of future steps ready, four steps ahead.

        Args:
            steps: rows of each step, int64 (rows,), on the CPU.
        """
        self._expected = iter(steps)
        self._started.clear()
        self._start_expected()

    def next_step(self, rows: Tensor) -> Pixels:
        """As `images[rows]`, with the images that were made ready for this step. Only the others are loaded now.

        A method may replace some rows of a step by others, such as neighbours that it has found since.
        """
        if not self._started:
            return self[rows]
        expected, ready = self._started.popleft()
        distinct = torch.unique(rows)
        missing = distinct[~torch.isin(distinct, expected)]
        others = self._start(missing) if len(missing) else None
        self._start_expected()
        if torch.equal(rows, expected):
            return ready.result()
        images = _by_row(expected, ready.result()) | (_by_row(missing, others()) if others else {})
        return _gathered(rows, images)

    def _start_expected(self) -> None:
        while len(self._started) <= _STEPS_AHEAD and (rows := next(self._expected, None)) is not None:
            self._started.append((rows, self._packer.submit(self._start(rows))))

    def _start(self, rows: Tensor) -> Callable[[], Pixels]:
        """Begin to load images; the function waits for them, and gathers them."""
        # Both views of an own-view item show one image, which is loaded once.
        distinct = torch.unique(rows)
        tasks = [self._pool.submit(self._load_some, part.tolist()) for part in torch.split(distinct, _PER_TASK)]

        def pack() -> Pixels:
            images = (image for task in tasks for image in task.result())
            return _gathered(rows, dict(zip(distinct.tolist(), images, strict=True)))

        return pack

    def _load_some(self, rows: list[int]) -> list[Tensor]:
        return [self._load(row) for row in rows]


class StreamedImages(ImagesAhead):
    """Whole images that stay in their files, as `load_images` holds them; rows are decoded when they are needed.

    Args:
        entries: the images by row.
        bound: most pixels of a short side.
        workers: threads that decode; 0 means one per core.
    """

    def __init__(self, source: Source, entries: Sequence[Entry], bound: int, workers: int) -> None:
        def decode(row: int) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(load_whole(source, entries[row], bound)))

        super().__init__(len(entries), decode, workers)


def _by_row(rows: Tensor, images: Pixels) -> dict[int, Tensor]:
    return {row: images[place] for place, row in enumerate(rows.tolist())}


def _gathered(rows: Tensor, images: dict[int, Tensor]) -> Pixels:
    order, places = rows.tolist(), torch.arange(len(rows))
    if len({images[row].shape for row in order}) > 1:
        distinct, places = torch.unique(rows, return_inverse=True)
        order = distinct.tolist()
    shapes = torch.tensor([images[row].shape[1:] for row in order])
    pixels = torch.empty(3 * int(shapes.prod(dim=1).sum()), dtype=torch.uint8, pin_memory=torch.cuda.is_available())
    torch.cat([images[row].flatten() for row in order], out=pixels)
    return RaggedImages.of(pixels, shapes)[places].stacked()
