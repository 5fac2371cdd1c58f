"""torch.compile, and whether it can work here."""

from dataclasses import replace
from typing import Any

import torch

from miner.embed.encoders import Encoder
from miner.errors import MinerError
from miner.learning.compiling import REASON_LENGTH


def compiled(encoder: Encoder, batch_size: int, precision: torch.dtype, device: torch.device) -> Encoder:
    """An encoder whose network is compiled for batches of one size.

    Raises:
        MinerError: it cannot be.
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
