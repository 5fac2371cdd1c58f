"""The processes of a run that share a machine."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import distributed

from miner.learning.parallel.collectives import rank, world_size

T = TypeVar("T")


@dataclass(frozen=True)
class SharedMachine:
    """The processes of this run on one machine, which see each other's files and memory.

    Attributes:
        first: rank of the first of them.
        processes: how many there are.
    """

    first: int = 0
    processes: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the first one of its machine."""
        return rank() == self.first

    def once(self, make: Callable[[], T]) -> T:
        """What `make` gives on the first process of the machine, on each of them; it must pickle.

        All processes of the run call this together.
        """
        found: Any = _gathered(make() if self.is_first else None)[self.first]
        return found  # type: ignore[no-any-return]


ALONE = SharedMachine()


def shared_machine() -> SharedMachine:
    """The machine of this process. All processes of the run call this together."""
    names = _gathered((platform.node(), _process_namespace()))
    return SharedMachine(names.index(names[rank()]), names.count(names[rank()]))


def _gathered(value: Any) -> list[Any]:
    """The values of all processes, in the order of the ranks."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    distributed.all_gather_object(values, value)
    return values


def _process_namespace() -> str:
    # Containers of one machine may have its name and still not see each other's processes.
    namespace = Path("/proc/self/ns/pid")
    return str(namespace.readlink()) if namespace.is_symlink() else ""
