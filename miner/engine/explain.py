"""Errors of file systems and stores, for people. Every store raises exceptions of its own, so any kind may come."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from miner.errors import MinerError


@contextmanager
def explained(explain: Callable[[Exception], Exception], *keep: type[Exception]) -> Iterator[None]:
    """Raise an error for people in place of what a store raises inside.

    Args:
        explain: gives the error for people; an exception that it returns as it is passes.
        keep: kinds of exceptions that pass; a `MinerError` always does.
    """
    try:
        yield
    except Exception as error:
        message = error if isinstance(error, (MinerError, *keep)) else explain(error)
        if message is error:
            raise
        raise message from error


def one_line(error: Exception, length: int = 200) -> str:
    """Kind and message of an exception on one line: `TimeoutError: no answer`."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:length]}"
