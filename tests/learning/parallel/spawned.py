"""Functions on several real processes that exchange through gloo."""

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import torch
from torch import distributed, multiprocessing

from tests.processes import COPIES

# `torch.multiprocessing.spawn` without the seconds in which each process imports torch.
start_copies = partial(multiprocessing.start_processes, start_method=COPIES.get_start_method())


def torchrun(folder: Path, *words: str) -> CompletedProcess[str]:
    """A command of miner under torchrun, which starts two interpreters; the launcher itself is a copy.

    Args:
        folder: for the files of what they say.
        words: the command without `miner`.
    """
    said, errors = folder / "said", folder / "errors"
    process = COPIES.Process(target=_launch, args=(words, said, errors))
    process.start()
    process.join()
    assert process.exitcode == 0, errors.read_text()
    return CompletedProcess(words, 0, said.read_text(), errors.read_text())


def _launch(words: Sequence[str], said: Path, errors: Path) -> None:
    from torch.distributed.run import main

    for path, number in ((said, 1), (errors, 2)):
        with path.open("w") as file:
            os.dup2(file.fileno(), number)
    os.environ["OMP_NUM_THREADS"] = "1"
    main(["--standalone", "--nproc-per-node", "2", "-m", "miner", *words])


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
