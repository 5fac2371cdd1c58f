"""A small mined workspace of real images, and `miner review` as a process on it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs

IMAGES = 120


def mine_sample(root: Path) -> Workspace:
    """Pairs of the first images of the built-in sample."""
    workspace = Workspace(root)
    embed(EmbedOptions(source="sample", limit=IMAGES), workspace)
    pairs(PairsOptions(min=0.55, max=0.97), workspace)
    return workspace


@dataclass
class Server:
    """A `miner review` process.

    Attributes:
        url: as printed, with the token if there is one.
        printed: its messages until it was ready.
    """

    process: subprocess.Popen[str]
    url: str
    printed: str

    @property
    def base(self) -> str:
        return self.url.partition("?")[0].rstrip("/")

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """End the process by a signal. Returns its exit code and what it printed last."""
        self.process.send_signal(number)
        output, _ = self.process.communicate()
        return self.process.returncode, output

    def client(self, **more: object) -> httpx.Client:
        return httpx.Client(base_url=self.base, timeout=60, trust_env=False, **more)  # type: ignore[arg-type]


StartReview = Callable[..., Server]


def miner_review(workspace: Workspace, *flags: str) -> subprocess.CompletedProcess[str]:
    """`miner review` without a server: it prints a summary or an error."""
    command = [sys.executable, "-m", "miner", "review", "-w", str(workspace.root), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@contextmanager
def reviews() -> Iterator[StartReview]:
    """Starts servers, on free ports unless --port is given; what still runs at the end is killed."""
    processes = []

    def start(workspace: Workspace, *flags: str) -> Server:
        command = [sys.executable, "-m", "miner", "review", "-w", str(workspace.root), *flags]
        if "--port" not in flags:
            command += ["--port", "0"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        processes.append(process)
        assert process.stderr is not None
        printed = ""
        for line in process.stderr:
            printed += line
            if found := re.search(r"open (http\S+) ", line):
                return Server(process, found[1], printed)
        raise AssertionError(f"miner review ended with {process.wait()}: {printed}")

    try:
        yield start
    finally:
        for process in processes:
            process.kill()
            process.communicate()
