"""Work of units on Ray. Each worker process imports this module, so it imports little."""

import os
import signal
import time
from pathlib import Path

from miner.errors import MinerError


def write_pid(number: int, path: Path) -> None:
    path.write_text(f"{number} {os.getpid()}")


def die_once(flag: Path, path: Path) -> None:
    if not flag.exists():
        flag.write_text("died")
        os.kill(os.getpid(), signal.SIGKILL)
    path.write_text("second try")


def always_die(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def complain(path: Path) -> None:
    raise MinerError("the disk is full")


def slow(path: Path) -> None:
    time.sleep(0.2)
    path.write_text(str(os.getpid()))
