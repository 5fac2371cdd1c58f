"""Threads that each do the arithmetic of one tile.

On a CPU, several tiles at once with one thread each beat one tile at a time with all threads: no thread waits for the others
inside a small product, and a busy machine slows down one tile, not all.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Threads:
    """As many threads as torch would use, with one each inside.

    Args:
        count: how many; by default torch's number.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or torch.get_num_threads()
        # torch keeps this setting for the thread that makes it.
        self._pool = ThreadPoolExecutor(self.count, "tiles", lambda: torch.set_num_threads(1))

    def start(self, work: Callable[[], Answer]) -> "Future[Answer]":
        """Begin one piece of work beside what follows."""
        return self._pool.submit(work)

    def map(self, work: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
        """Answers in the order of the items. A failure, here or in the caller's loop, drops what has not begun."""
        futures: deque[Future[Answer]] = deque()
        try:
            for item in items:
                futures.append(self._pool.submit(work, item))
                if len(futures) > 2 * self.count:  # answers that nobody has asked for yet take memory
                    yield futures.popleft().result()
            while futures:
                yield futures.popleft().result()
        finally:
            for future in futures:
                future.cancel()
