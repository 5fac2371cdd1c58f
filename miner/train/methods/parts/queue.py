"""A ring of the newest features."""

import torch
from torch import Tensor

from miner.train.data.batch import Batch


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


class StepRows:
    """Rows that come in with the parts of a step and are wanted when it ends; between steps there are none."""

    def __init__(self) -> None:
        self._rows: list[Tensor] = []

    def add(self, batch: Batch, rows: Tensor) -> Tensor | None:
        """Keep the rows of a part, (rows, dim); with the last part, give back those of the whole step."""
        self._rows.append(rows)
        if not batch.closes_step:
            return None
        whole = torch.cat(self._rows)
        self._rows.clear()
        return whole
