"""Threads that each compute one tile, and the memory that each of them keeps.

On a CPU, several tiles with one thread each are faster than one tile with all threads: no thread waits for the others inside a
small product, and other work on the machine slows down one tile only.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Threads:
    """A pool of threads in which torch computes with one thread each; by default, as many as torch uses."""

    def __init__(self, count: int | None = None) -> None:
        self.count = count or torch.get_num_threads()
        # torch keeps the number of threads for each thread that sets it.
        self._pool = ThreadPoolExecutor(self.count, "tiles", lambda: torch.set_num_threads(1))

    def start(self, work: Callable[[], Answer]) -> "Future[Answer]":
        """Start one piece of work on a thread."""
        return self._pool.submit(work)

    def both(self, one: Callable[[], Answer], other: Callable[[], Answer]) -> tuple[Answer, Answer]:
        """The answers of two pieces of work, for a thread of this pool: if none is free for the other, it does that, too."""
        started = self._pool.submit(other)
        answer = one()
        return answer, other() if started.cancel() else started.result()

    def map(self, work: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
        """The answers in the order of the items. After an error, here or in the loop of the caller, no further work starts."""
        futures: deque[Future[Answer]] = deque()
        try:
            for item in items:
                futures.append(self._pool.submit(work, item))
                if len(futures) > 2 * self.count:  # waiting answers take memory
                    yield futures.popleft().result()
            while futures:
                yield futures.popleft().result()
        finally:
            for future in futures:
                future.cancel()


class Buffer(threading.local):
    """Memory that a thread uses again and again: to allocate memory costs as much as to fill it."""

    numbers: Tensor | None = None

    def of(self, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
        """An uninitialised tensor of that shape."""
        count = shape[0] * shape[1]
        if self.numbers is None or len(self.numbers) < count or self.numbers.dtype != dtype:
            self.numbers = torch.empty(count, dtype=dtype)
        return self.numbers[:count].view(shape)
