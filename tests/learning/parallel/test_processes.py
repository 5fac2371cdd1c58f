"""Functions on two real processes that this one starts."""

import importlib
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from weakref import ref

import pytest
from torch import distributed

from miner.errors import MinerError
from miner.learning.parallel import processes
from miner.learning.parallel.collectives import rank
from miner.learning.parallel.processes import joined, start_processes
from tests.learning.parallel.spawned import start_copies


def share_work(trouble: str) -> None:
    if rank() == 1 and trouble == "error":
        raise MinerError("the second process cannot read its images")
    if rank() == 1 and trouble == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    distributed.barrier()


def group_left_behind(folder: Path) -> bool:
    with joined(f"file://{folder}/meeting", 0, 1):
        group = ref(distributed.group.WORLD)
        importlib.import_module("torch._dynamo")  # as optimizers do
        distributed.barrier()
    return group() is not None


def test_a_group_ends_with_the_run(tmp_path) -> None:
    """Its threads would race with the end of the interpreter, which now and then aborts the process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert not pool.submit(group_left_behind, tmp_path).result()


def test_the_first_error_is_the_one_that_is_told(monkeypatch) -> None:
    with pytest.raises(MinerError, match="the second process cannot read its images"):
        start_processes(2, share_work, "error")
    monkeypatch.setattr(processes, "spawn", start_copies)
    with pytest.raises(MinerError, match="A process of the run died"):
        start_processes(2, share_work, "killed")
