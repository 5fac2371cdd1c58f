"""Whether torch.compile works on this machine."""

import torch

REASON_LENGTH = 160


def compile_problem(device: torch.device) -> str | None:
    """Why torch.compile does not work on a device, in few words; None if it works."""
    try:
        torch.compile(lambda numbers: numbers * 2 + 1)(torch.zeros(8, device=device))
    except Exception as error:  # many kinds, from the many parts of torch.compile
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        return lines[0][:REASON_LENGTH]
    return None
