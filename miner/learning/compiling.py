"""Whether torch.compile can work here."""

import torch

REASON_LENGTH = 160


def compile_problem(device: torch.device) -> str | None:
    """What torch.compile lacks on a device, in few words; None if it works."""
    try:
        torch.compile(lambda numbers: numbers * 2 + 1)(torch.zeros(8, device=device))
    except Exception as error:  # it has many parts, each with errors of its own
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        return lines[0][:REASON_LENGTH]
    return None
