"""Processes that a test starts or kills: copies of one that has imported the libraries, each there in milliseconds."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from miner.cli import main

COPIES = get_context("forkserver")
COPIES.set_forkserver_preload(["faiss", "torch._dynamo", "tests.torture.child"])  # that imports all of miner


def kill_command(
    words: Sequence[str], until: Callable[[], bool], prepare: Callable[[], None] | None = None, threads: int = 1
) -> None:
    """Start a command of miner, and kill it as soon as `until` holds. It must not end before.

    Args:
        words: the command without `miner`.
        prepare: a function of a module that the process calls first.
        threads: of torch and FAISS.
    """
    with TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        process = COPIES.Process(target=_run, args=(list(words), said, prepare, threads))
        process.start()
        while not until() and process.is_alive():
            time.sleep(0.005)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, said.read_text()


def run_as_torchrun(words: Sequence[str], count: int) -> str:
    """What all processes of a command say that are started with the environment which torchrun gives them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(server.getsockname()[1]), "WORLD_SIZE": str(count)}
    with TemporaryDirectory() as folder:
        processes = [
            COPIES.Process(
                target=_run,
                args=(
                    list(words),
                    Path(folder) / str(rank),
                    partial(_set_variables, {**address, "RANK": str(rank)}),
                    1,
                ),
            )
            for rank in range(count)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        said = "".join((Path(folder) / str(rank)).read_text() for rank in range(count))
    assert [process.exitcode for process in processes] == [0] * count, said
    return said


def _set_variables(variables: dict[str, str]) -> None:
    os.environ |= {**variables, "LOCAL_RANK": variables["RANK"]}


def _run(words: list[str], said: Path, prepare: Callable[[], None] | None, threads: int) -> None:
    import faiss

    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    sys.stdout = sys.stderr = said.open("w", buffering=1)
    sys.argv = ["miner", *words]
    if prepare:
        prepare()
    main()
