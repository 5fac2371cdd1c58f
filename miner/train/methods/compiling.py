"""torch.compile for the networks of a method."""

import torch

from miner.errors import MinerError
from miner.learning.compiling import compile_problem
from miner.train.methods import Method


def compile_networks(method: Method, device: torch.device) -> None:
    """Compile the backbone and each momentum encoder of its class with torch.compile, one program each.

    The modules are compiled in place, so the names in checkpoints and files stay. Every input shape gets its own program: a program
    for several shapes would depend on which one came first, and a resumed run would end with other bits. CUDA graphs are off.

    Args:
        method: the method, on `device`; torch compiles at the first batch.
        device: that the method will be trained on.
    Raises:
        MinerError: torch.compile does not work here.
    """
    reason = compile_problem(device)
    if reason is not None:
        raise MinerError(f"--compile does not work here ({reason}). Train without it.")
    for module in method.modules():
        if type(module) is type(method.backbone):
            module.compile(dynamic=False)
