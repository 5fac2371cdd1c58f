"""Rows of several classes that a linear classifier can part, but not without errors."""

import torch

from miner.learning.randomness import generator_for


def clustered(count: int, *purpose: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows around five overlapping centres, one dimension constant and the others of very different widths."""
    draw = generator_for(0, *purpose)
    labels = torch.randint(0, 5, (count,), generator=draw)
    centres = torch.randn(5, 12, generator=generator_for(0, "centres"))
    rows = (centres[labels] + 2.0 * torch.randn(count, 12, generator=draw)) * torch.logspace(-2, 2, 12) + 7.0
    rows[:, 3] = 7.0
    return rows.double(), labels
