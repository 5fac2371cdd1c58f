"""Functions on several real processes that exchange through gloo."""

import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

from tests.processes import COPIES

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "miner"]

# `torch.multiprocessing.spawn` without the seconds in which each process imports torch.
start_copies = partial(multiprocessing.start_processes, start_method=COPIES.get_start_method())


def on_processes(count: int, function: Callable[[], Any], folder: Path) -> list[Any]:
    """What the function, a picklable one of a module, returns on each process, by rank."""
    folder.mkdir(parents=True, exist_ok=True)
    start_copies(_enter, (count, function, folder), count)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]


def _enter(rank: int, count: int, function: Callable[[], Any], folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", f"file://{folder}/meeting", timedelta(seconds=60), world_size=count, rank=rank
    )
    torch.save(function(), folder / f"{rank}.pt")
    distributed.destroy_process_group()
