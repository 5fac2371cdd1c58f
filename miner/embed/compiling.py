"""torch.compile, and whether it can work here."""

from dataclasses import replace
from typing import Any

import torch

from miner.embed.encoders import Encoder
from miner.errors import MinerError

_REASON_LENGTH = 160


def why_not(device: torch.device) -> str | None:
    """What torch.compile lacks on a device, in few words; None if it works."""
    try:
        torch.compile(lambda numbers: numbers * 2 + 1)(torch.zeros(8, device=device))
    except Exception as error:  # it has many parts, each with errors of its own
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        return lines[0][:_REASON_LENGTH]
    return None


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
            f"{encoder.name} could not be compiled ({' '.join(str(error).split())[:_REASON_LENGTH]}). Leave --compile out."
        ) from error
    return faster
