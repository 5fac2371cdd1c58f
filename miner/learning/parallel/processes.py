"""Runs on several processes, which torchrun or this process has started."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
import torch.distributed.nn  # imported later, its defaults would hold on to the group: its threads race with the process's end
from torch import distributed
from torch.distributed.rendezvous import rendezvous
from torch.multiprocessing import get_context
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, spawn

from miner.errors import MinerError, UsageError

T = TypeVar("T")

# The other processes wait while the first one works alone, such as on an evaluation.
_TIMEOUT = timedelta(hours=2)
_DIED = "A process of the run died (killed, or out of memory). What was finished is kept; the same command continues."


@contextmanager
def joined(meeting: str, rank: int = -1, count: int = -1) -> Iterator[None]:
    """Join the other processes of a run. Only the first process writes to standard error, and only the first error is raised.

    Args:
        meeting: URL where the processes meet; env:// reads everything from torchrun's environment.
        rank, count: rank of this process and number of processes, if the URL does not say them.
    Raises:
        SystemExit: another process was the first to fail.
    """
    store, rank, count = next(iter(rendezvous(meeting, rank, count, timeout=_TIMEOUT)))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=_TIMEOUT)
    try:
        with ExitStack() as stack:
            if rank > 0:
                stack.enter_context(redirect_stderr(stack.enter_context(Path(os.devnull).open("w"))))
            yield
    except Exception as error:
        if store.add("errors", 1) > 1:
            raise SystemExit(1) from error
        raise MinerError(_DIED) if _lost_another(error) else error from error
    finally:
        distributed.destroy_process_group()


def broadcast_from_rank0(value: T) -> T:
    """The value that the first process of a run has, on every process; it must pickle."""
    box = [value]
    distributed.broadcast_object_list(box)
    return box[0]


def run_on_processes(count: int, work: Callable[..., T], *arguments: Any) -> T:
    """`start_processes`; or a call in this process, if one is enough or this is one of several already."""
    if count == 1 or distributed.is_initialized():
        return work(*arguments)
    return start_processes(count, work, *arguments)


def start_processes(count: int, work: Callable[..., T], *arguments: Any) -> T:
    """Run a function on several new processes of this machine, joined.

    Args:
        work: a function of a module, called with the arguments; all of them must pickle.
    Returns:
        The result of the first process.
    Raises:
        MinerError: a process was killed; and the error of the first process that failed.
    """
    if torch.cuda.is_available() and torch.cuda.device_count() < count:
        raise UsageError(
            f"--processes {count}: each needs a GPU of its own, and there are {torch.cuda.device_count()}. Use fewer, or "
            "--device cpu with CUDA_VISIBLE_DEVICES= in the environment."
        )
    answers = get_context("spawn").SimpleQueue()
    threads = max(1, torch.get_num_threads() // count)
    with TemporaryDirectory(prefix="miner-") as folder:
        meeting = f"file://{folder}/meeting"
        running = spawn(_enter, (count, threads, meeting, answers, work, arguments), count, join=False)  # type: ignore[no-untyped-call]
        try:
            while not running.join():
                pass
        except (ProcessExitedException, ProcessRaisedException) as error:
            raise (MinerError(_DIED) if answers.empty() else answers.get()) from error
        finally:
            for process in running.processes:
                process.kill()
        return answers.get()  # type: ignore[no-any-return]


def _enter(
    rank: int,
    count: int,
    threads: int,
    meeting: str,
    answers: Any,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(threads)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_RANK": str(rank)}
    try:
        with joined(meeting, rank, count):
            answer = work(*arguments)
    except Exception as error:
        answers.put(error)
        sys.exit(1)
    if rank == 0:
        answers.put(answer)


def _lost_another(error: Exception) -> bool:
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
