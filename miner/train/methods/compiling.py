"""torch.compile for the networks of a method."""

import torch

from miner.errors import MinerError
from miner.learning.compiling import compile_problem
from miner.train.methods import Method


def compile_networks(method: Method, device: torch.device) -> None:
    """Let torch.compile make one program of the backbone, and one of each momentum encoder of its kind.

    They are compiled in place, so names in checkpoints and exports stay. Every shape gets a program of its own: one that is shared
    by several shapes would depend on which came first, and a resumed run would end with other bits. CUDA graphs are left off.

    Args:
        method: on `device`; nothing is compiled before its first batch.
        device: that it will be trained on.
    Raises:
        MinerError: torch.compile does not work here.
    """
    reason = compile_problem(device)
    if reason is not None:
        raise MinerError(f"--compile does not work here ({reason}). Leave it out.")
    for module in method.modules():
        if type(module) is type(method.backbone):
            module.compile(dynamic=False)
