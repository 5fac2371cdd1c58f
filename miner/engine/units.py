"""A long stage is a list of independent units; a unit whose output exists is never run again."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, Protocol

from miner.engine.atomic import committed
from miner.engine.progress import Progress
from miner.engine.remote import AnyPath
from miner.errors import MinerError


@dataclass(frozen=True)
class Unit:
    """One piece of work with a fixed result.

    Attributes:
        id: name of the unit, unique in its stage.
        outputs: files that the unit makes. They appear in this order, so the last one marks the unit as done.
        work: called with a path to write to for each output. Its result depends on its own arguments only.
        items: how many items (images, rows) the unit covers, for the progress display.
    """

    id: str
    outputs: tuple[AnyPath, ...]
    work: Callable[..., None]
    items: int = 1

    @property
    def files(self) -> tuple[Path, ...]:
        """The outputs on this machine: all of them, but for units that write behind a URL."""
        return tuple(path for path in self.outputs if isinstance(path, Path))

    @property
    def done(self) -> bool:
        return self.outputs[-1].exists()

    def execute(self) -> None:
        """Do the work and commit the outputs."""
        with ExitStack() as stack:
            # ExitStack closes in reverse order, so entering the last output first commits it last.
            partials = [stack.enter_context(committed(path)) for path in reversed(self.outputs)]
            self.work(*reversed(partials))


class Executor(Protocol):
    """Runs units somewhere. `run` yields each unit when it has finished, in any order."""

    def run(self, units: Sequence[Unit]) -> Iterator[Unit]: ...


@dataclass(frozen=True)
class LocalExecutor:
    """Runs units on this machine.

    `workers` is the number of processes; 0 runs the units in this process. `devices` has one device per worker, or none.
    """

    workers: int = 0
    devices: tuple[str, ...] = ()

    def run(self, units: Sequence[Unit]) -> Iterator[Unit]:
        if self.workers == 0:
            for unit in units:
                unit.execute()
                yield unit
            return
        context = get_context("spawn")
        free: SimpleQueue[str] = context.SimpleQueue()
        for device in self.devices:
            free.put(device)
        start: Any = (_take_device, (free,)) if self.devices else ()
        with ProcessPoolExecutor(self.workers, context, *start) as pool:
            futures = {pool.submit(unit.execute): unit for unit in units}
            try:
                for future in as_completed(futures):
                    future.result()
                    yield futures[future]
            except BrokenProcessPool as error:
                raise MinerError(
                    "A worker process died (killed, or out of memory). What was finished is kept; the same command continues."
                ) from error
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


_assigned: list[str] = []


def _take_device(free: "SimpleQueue[str]") -> None:
    _assigned.append(free.get())


def assigned_device() -> str | None:
    """The device that the executor gave to this worker process; None in other processes."""
    return _assigned[0] if _assigned else None


def is_launched() -> bool:
    """Whether this is one of several processes of a command (torchrun's RANK and WORLD_SIZE say so)."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_follower() -> bool:
    """Whether another process holds the workspace and prints the messages."""
    return is_launched() and int(os.environ["RANK"]) > 0


def run(
    units: Iterable[Unit],
    *,
    progress: Progress | None = None,
    executor: Executor | None = None,
    after: Callable[[Unit], None] | None = None,
) -> None:
    """Run every unit that is not done yet.

    A run that was killed and is called again with the same units ends with the same bytes on disk.

    Args:
        units: all units of the stage, also the finished ones.
        progress: counts the items of each unit that ends; None if the work counts its own items.
        executor: where the units run; by default in this process.
        after: called with each unit that ends; an exception from it stops the run.
    """
    units = list(units)
    if len({unit.id for unit in units}) != len(units):
        raise ValueError("unit ids must be unique")
    for unit in (executor or LocalExecutor()).run([unit for unit in units if not unit.done]):
        if progress is not None:
            progress.advance(unit.items)
        if after is not None:
            after(unit)


def finished_items(units: Iterable[Unit]) -> int:
    """How many items the finished units cover."""
    return sum(unit.items for unit in units if unit.done)
