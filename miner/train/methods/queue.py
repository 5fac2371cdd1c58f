"""A ring of the newest features."""

import torch
from torch import Tensor


@torch.no_grad()
def enqueue(queue: Tensor, queued: Tensor, rows: Tensor) -> None:
    """Overwrite the oldest rows of a ring, in place.

    Args:
        queue: float32 (size, dim), or of any other dtype and row.
        queued: int64 scalar, rows that were ever put in; it is advanced.
        rows: (count, ...) like the queue's, count <= size.
    """
    slots = (queued + torch.arange(len(rows), device=rows.device)) % len(queue)
    queue.index_copy_(0, slots, rows)
    queued.add_(len(rows))


def empty_slots(queue: Tensor, queued: Tensor) -> Tensor:
    """Which slots hold nothing yet: bool (size,)."""
    return torch.arange(len(queue), device=queue.device) >= queued
