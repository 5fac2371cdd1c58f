"""Processes that a test starts or kills: copies of one that has imported the libraries, each there in milliseconds."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

import torch

from miner.cli import main

COPIES = get_context("forkserver")
COPIES.set_forkserver_preload(
    ["tests.shared", "faiss", "torch._dynamo", "tests.torture.child"]
)  # that imports all of miner


@dataclass(frozen=True)
class Command:
    """A command of miner in a process of its own, and the files of what it prints and of its errors."""

    process: ForkServerProcess
    said: Path
    errors: Path

    def end(self) -> CompletedProcess[str]:
        """Wait for its end."""
        self.process.join()
        code = self.process.exitcode
        assert code is not None
        return CompletedProcess([], code, self.said.read_text(), self.errors.read_text())


def start_command(
    folder: Path, *words: str, prepare: Callable[[], None] | None = None, variables: Mapping[str, str] | None = None
) -> Command:
    """Start a command of miner in the current folder.

    Args:
        folder: for the files of what it says; one for each command.
        words: the command without `miner`.
        prepare: a function of a module that the process calls first.
        variables: its environment; by default that of this process.
    """
    said, errors = folder / "said", folder / "errors"
    for path in (said, errors):
        path.touch()
    environment = dict(os.environ if variables is None else variables)
    process = COPIES.Process(target=_run, args=(words, said, prepare, 1, errors, environment))
    process.start()
    return Command(process, said, errors)


def run_command(
    *words: str, prepare: Callable[[], None] | None = None, variables: Mapping[str, str] | None = None
) -> CompletedProcess[str]:
    """Run a command of miner to its end, as `start_command` starts it."""
    with TemporaryDirectory() as folder:
        return start_command(Path(folder), *words, prepare=prepare, variables=variables).end()


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


def _run(
    words: Sequence[str],
    said: Path,
    prepare: Callable[[], None] | None,
    threads: int,
    errors: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> None:
    import faiss

    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    sys.stdout = said.open("w", buffering=1)
    sys.stderr = errors.open("w", buffering=1) if errors else sys.stdout
    if variables is not None:
        os.environ.clear()
        os.environ.update(variables)
    sys.argv = ["miner", *words]
    if prepare:
        prepare()
    main()
