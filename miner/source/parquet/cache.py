"""A cache that is bounded by bytes, for the row groups of Parquet files."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class ByteBoundCache(Generic[Value]):
    """The values that were used last: as many as fit into a number of bytes, and at least one. Safe for several threads.

    Two threads that ask for the same value at the same time load it once.

    Args:
        limit_bytes: room for all values together.
        size_of: bytes of one value.
    """

    def __init__(self, limit_bytes: int, size_of: Callable[[Value], int]) -> None:
        self._limit_bytes = limit_bytes
        self._size_of = size_of
        self._forget()

    def get(self, key: Any, load: Callable[[], Value]) -> Value:
        """The value of a key, loaded if the cache does not have it. An exception of `load` is raised and not kept."""
        with self._lock:
            future = self._futures.get(key)
            mine = future is None
            if future is None:
                future = self._futures[key] = Future()
            self._futures.move_to_end(key)
        if mine:
            self._fill(key, future, load)
        return future.result()

    def _fill(self, key: Any, future: "Future[Value]", load: Callable[[], Value]) -> None:
        try:
            value = load()
        except BaseException as error:
            with self._lock:
                del self._futures[key]
            future.set_exception(error)
            return
        future.set_result(value)
        with self._lock:
            self._sizes[key] = self._size_of(value)
            for old in list(self._futures):
                if sum(self._sizes.values()) <= self._limit_bytes:
                    break
                if old in self._sizes and old != key:
                    del self._futures[old], self._sizes[old]

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._futures: OrderedDict[Any, Future[Value]] = OrderedDict()
        self._sizes: dict[Any, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_limit_bytes": self._limit_bytes, "_size_of": self._size_of}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._forget()
