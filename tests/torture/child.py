"""What runs in the processes that are killed: one scene, with a fault at one of its steps on the disk.

Each process is forked from one that has imported everything, so it starts within milliseconds.
"""

import contextlib
import errno
import functools
import importlib
import os
import pkgutil
import resource
import sys
import traceback
from pathlib import Path
from typing import Any
from unittest import mock

import timm
import torch
import torch.utils.tensorboard
import torch_geometric.nn  # noqa: F401

import miner
from miner.engine import explain_write_error, write_json
from miner.errors import MinerError
from miner.source import open_source
from miner.verify.run import verify
from tests.embed.small_encoder import small_encoder
from tests.torture.scenes import SCENES

KILLED = 137
_STEPS = {"os.rename", "os.remove", "os.rmdir", "os.link", "os.mkdir", "open"}

for _module in pkgutil.walk_packages(miner.__path__, "miner."):
    with contextlib.suppress(ImportError):
        if _module.name != "miner.__main__":
            importlib.import_module(_module.name)
_NO_LIMIT = resource.getrlimit(resource.RLIMIT_FSIZE)
ENCODER = small_encoder()
open_source("sample")  # each copy has it open
SMALL_VIT = functools.partial(timm.create_model, depth=1, embed_dim=24, num_heads=2)


def play(name: str, root: Path, answer: Path, fault: str = "", at: int = 0, force: bool = False) -> None:
    """Run a scene, and write to `answer` how it ended: "done", or the message; and the number of its steps on the disk.

    Args:
        fault: "kill" ends the process before step `at`; "full" fails this step as a full disk does; "small" limits files to so
            many bytes.
        force: replace what is there.
    """
    torch.set_num_threads(1)
    os.chdir(root)
    steps = _watch_steps(root, fault, at)
    if fault == "small":
        resource.setrlimit(resource.RLIMIT_FSIZE, (at, _NO_LIMIT[1]))
    with (
        Path(os.devnull).open("w") as said,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        mock.patch("miner.embed.parts.LONGEST_S", 0.0),
        mock.patch("timm.create_model", SMALL_VIT),
        mock.patch("miner.embed.worker.load_encoder", lambda *_: ENCODER),
        mock.patch("miner.embed.encoders.embedded.load_encoder", lambda *_: ENCODER),
    ):
        ended = _ending(lambda: SCENES[name].play(root, force))
    resource.setrlimit(resource.RLIMIT_FSIZE, _NO_LIMIT)
    write_json(answer, {"ended": ended, "steps": steps})
    os._exit(0)


def check(places: list[Path], answer: Path) -> None:
    """Verify folders, and write to `answer` how that ended."""
    endings = (_ending(lambda place=place: verify(str(place))) for place in places)
    write_json(answer, {"ended": "; ".join(dict.fromkeys(endings))})
    os._exit(0)


def _ending(work: Any) -> str:
    try:
        work()
    except MinerError as error:
        return str(error)
    except Exception as error:  # as the command line explains it
        explained = explain_write_error(error, Path(getattr(error, "filename", None) or "."))
        return str(explained) if isinstance(explained, MinerError) else traceback.format_exc()
    return "done"


def _watch_steps(root: Path, fault: str, at: int) -> list[str]:
    """The steps of this process that change the folder, as they come; the fault happens at one of them."""
    steps: list[str] = []
    busy = False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal busy
        if event not in _STEPS or busy or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        busy = True
        path = os.fsdecode(arguments[0])
        if path.startswith(str(root)) and not path.endswith(".lock") and (event != "open" or _writes(arguments)):
            if len(steps) == at and fault == "kill":
                os._exit(KILLED)
            steps.append(f"{event} {os.path.relpath(path, root)}")
            if len(steps) - 1 == at and fault == "full":
                busy = False
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        busy = False

    sys.addaudithook(hook)
    return steps


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    return (
        any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & (os.O_WRONLY | os.O_RDWR))
    )
