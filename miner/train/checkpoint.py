"""One file that holds all a run needs to go on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from miner.engine import committed
from miner.errors import MinerError
from miner.train.observer import Observer


def save_checkpoint(
    path: Path,
    step: int,
    method: nn.Module,
    optimizer: torch.optim.Optimizer,
    observers: Sequence[Observer] = (),
) -> None:
    """Write the state after `step` steps, atomically."""
    state = {
        "step": step,
        "method": method.state_dict(),
        "optimizer": optimizer.state_dict(),
        "observers": [observer.state_dict() for observer in observers],
    }
    with committed(path) as partial:
        torch.save(state, partial)


def load_checkpoint(
    path: Path, method: nn.Module, optimizer: torch.optim.Optimizer, observers: Sequence[Observer] = ()
) -> int:
    """Put a saved state back, and return how many steps it had seen; 0 when there is none.

    Raises:
        MinerError: the file is damaged, or belongs to another kind of run.
    """
    if not path.exists():
        return 0
    device = next(method.parameters()).device
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        method.load_state_dict(state["method"])
        optimizer.load_state_dict(state["optimizer"])
        for observer, remembered in zip(observers, state["observers"], strict=True):
            observer.load_state_dict(remembered)
        return int(state["step"])
    except Exception as error:  # torch.load raises whatever the unpickler and the zip reader meet
        reason = " ".join(str(error).split())[:200]
        raise MinerError(
            f"The checkpoint {path} is damaged ({reason}). Train again from the start with --force."
        ) from error
