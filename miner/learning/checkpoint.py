"""Checkpoints: one file that holds all a run needs to continue, and the file before it.

Order, augmentation and the random numbers of layers depend on the seed and the step alone. So the step number stands for the state
of all random generators and for the position in the epoch. Training in bfloat16 scales no gradients, so there is no scaler to keep.
"""

import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.stateful import Stateful

from miner.engine import committed
from miner.errors import MinerError


def previous(path: Path) -> Path:
    """The path of the checkpoint before: NAME.previous.pt, so that several trainings can have checkpoints in one folder."""
    return path.with_suffix(".previous.pt")


def save_checkpoint(
    path: Path,
    step: int,
    method: nn.Module,
    optimizer: torch.optim.Optimizer,
    observers: Sequence[Stateful] = (),
) -> None:
    """Write the state after `step` steps, atomically. The old file becomes `previous(path)` after the new one has been read back.

    Raises:
        MinerError: the disk is full, or returns other bytes than were written; the last good checkpoint remains.
    """
    state = {
        "step": step,
        "method": method.state_dict(),
        "optimizer": optimizer.state_dict(),
        "observers": [observer.state_dict() for observer in observers],
    }
    with committed(path) as partial:
        torch.save(state, partial)
        _verify(partial, path)
        if path.exists():
            path.replace(previous(path))


def load_checkpoint(
    path: Path, method: nn.Module, optimizer: torch.optim.Optimizer, observers: Sequence[Stateful] = ()
) -> int:
    """Restore a saved state, and return the number of its steps; 0 if there is no checkpoint.

    If the file is damaged, the file before it is used, with a warning.

    Raises:
        MinerError: all files are damaged, or belong to another kind of run.
    """
    problem: MinerError | None = None
    for candidate in (path, previous(path)):
        if not candidate.exists():
            continue
        try:
            step = _load(candidate, method, optimizer, observers)
        except MinerError as error:
            problem = problem or error
            continue
        if problem is not None:
            print(f"{path} is damaged; continuing from {candidate.name}, the checkpoint before it", file=sys.stderr)
        return step
    if problem is not None:
        raise problem
    return 0


def _load(path: Path, method: nn.Module, optimizer: torch.optim.Optimizer, observers: Sequence[Stateful]) -> int:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        method.load_state_dict(state["method"])
        optimizer.load_state_dict(state["optimizer"])
        for observer, remembered in zip(observers, state["observers"], strict=True):
            observer.load_state_dict(remembered)
        return int(state["step"])
    except Exception as error:  # torch.load raises many kinds, from the unpickler and the zip reader
        reason = " ".join(str(error).split())[:200]
        raise MinerError(
            f"The checkpoint {path} is damaged ({reason}). Train again from the start with --force."
        ) from error


def _verify(written: Path, path: Path) -> None:
    """Read a file of torch and compare the checksums that it holds of its parts."""
    try:
        with zipfile.ZipFile(written) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        damaged = str(error)
    if damaged is not None:
        raise MinerError(
            f"The checkpoint {path} could not be read back after it was written ({damaged}). Check the disk and run the same "
            "command again; it continues from the checkpoint before."
        )
