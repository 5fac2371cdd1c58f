"""`--compile`: whether torch.compile works on this machine, and an encoder that is compiled."""

import sys
from dataclasses import replace
from typing import Any

import torch

from miner.embed.encoders import Encoder
from miner.embed.options import EmbedOptions
from miner.errors import MinerError
from miner.learning.compiling import REASON_LENGTH, compile_problem
from miner.machine.device import worker_device


def resolve_compile(options: EmbedOptions) -> EmbedOptions:
    """The options, without `compile` where torch.compile does not work; a line on standard error then says why."""
    reason = compile_problem(worker_device(options.device))
    if reason is None:
        return options
    print(f"embed: --compile is left out: {reason}", file=sys.stderr, flush=True)
    return options.model_copy(update={"compile": False})


def compiled(encoder: Encoder, batch_size: int, precision: torch.dtype, device: torch.device) -> Encoder:
    """An encoder whose network is compiled for batches of one size.

    Raises:
        MinerError: compiling fails.
    """
    network: Any = torch.compile(encoder.network, dynamic=False)
    faster = replace(encoder, network=network)
    side = encoder.preprocess.crop
    try:
        faster.encode(torch.zeros(batch_size, side, side, 3, dtype=torch.uint8, device=device), precision)
    except Exception as error:
        raise MinerError(
            f"{encoder.name} could not be compiled ({' '.join(str(error).split())[:REASON_LENGTH]}). Leave --compile out."
        ) from error
    return faster
