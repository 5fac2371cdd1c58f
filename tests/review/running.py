"""A small mined workspace of real images, and a command that serves a page as a process on it."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

import httpx

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.processes import Command, run_command, start_command

IMAGES = 120


def mine_sample(root: Path) -> Workspace:
    """Pairs of the first images of the built-in sample."""
    workspace = Workspace(root)
    embed(EmbedOptions(source="sample", limit=IMAGES), workspace)
    pairs(PairsOptions(min=0.55, max=0.97), workspace)
    return workspace


@dataclass
class Server:
    """A process of `miner review` or `miner explore`.

    Attributes:
        url: as printed, with the token if there is one.
        printed: its messages until it was ready.
    """

    command: Command
    url: str
    printed: str

    @property
    def base(self) -> str:
        return self.url.partition("?")[0].rstrip("/")

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """End the process by a signal. Returns its exit code and what it printed."""
        assert self.command.process.pid is not None
        os.kill(self.command.process.pid, number)
        ended = self.command.end()
        return ended.returncode, ended.stdout

    def client(self, **more: object) -> httpx.Client:
        return httpx.Client(base_url=self.base, timeout=60, trust_env=False, **more)  # type: ignore[arg-type]


StartReview = Callable[..., Server]


def miner_review(workspace: Workspace, *flags: str) -> CompletedProcess[str]:
    """`miner review` without a server: it prints a summary or an error."""
    return run_command("review", "-w", str(workspace.root), *flags)


@contextmanager
def reviews() -> Iterator[StartReview]:
    """Starts servers, on free ports unless --port is given; what still runs at the end is killed."""
    commands: list[Command] = []
    with TemporaryDirectory() as folder:

        def start(workspace: Workspace, *flags: str, command: str = "review") -> Server:
            words = [command, "-w", str(workspace.root), *flags]
            if "--port" not in flags:
                words += ["--port", "0"]
            (place := Path(folder) / str(len(commands))).mkdir()
            commands.append(started := start_command(place, *words))
            while started.process.is_alive():
                printed = started.errors.read_text()
                if found := re.search(r"open (http\S+) ", printed):
                    return Server(started, found[1], printed)
                time.sleep(0.005)
            raise AssertionError(f"miner {command} ended: {started.end()}")

        try:
            yield start
        finally:
            for started in commands:
                started.process.kill()
                started.process.join()
