"""One engine per device: a unit of work runs on the device of the worker process that takes it."""

from collections.abc import Hashable
from typing import Any, Protocol, TypeVar

import torch

from miner.device import resolve_device, resolve_devices
from miner.engine.units import LocalExecutor, seat

Built_co = TypeVar("Built_co", covariant=True)


class Recipe(Hashable, Protocol[Built_co]):
    """How to make an engine, small enough to travel with every unit: paths and numbers, not arrays. A frozen dataclass."""

    def build(self, device: torch.device) -> Built_co:
        """The engine, with what it needs on the device."""
        ...


_built: dict[Hashable, Any] = {}


def engine_here(recipe: Recipe[Built_co], devices: str = "auto") -> Built_co:
    """This process's engine for a recipe, on the device of its seat; made at the first call and kept for the next units.

    Only the last engine is kept, because each fills a device.

    Args:
        devices: the option that the seats came from; a process without a seat takes the first of them.
    """
    if recipe not in _built:
        _built.clear()
        _built[recipe] = recipe.build(resolve_device(seat() or resolve_devices(devices)[0]))
    engine: Built_co = _built[recipe]
    return engine


def executor_for(devices: str) -> LocalExecutor:
    """Where units of such engines run: a process per device if there are several, else this process."""
    seats = resolve_devices(devices)
    return LocalExecutor(len(seats), tuple(seats)) if len(seats) > 1 else LocalExecutor()
