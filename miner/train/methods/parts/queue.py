"""The ring buffer behind the queues of MoCo and NNCLR; each method owns its buffer and says when rows enter."""

import torch
from torch import Tensor

from miner.train.data.batch import Batch


@torch.no_grad()
def enqueue(queue: Tensor, rows_written: Tensor, rows: Tensor) -> None:
    """Overwrite the oldest rows of a ring buffer, in place.

    Args:
        queue: (size, ...), of any dtype.
        rows_written: int64 scalar, how many rows have ever been put in; it is advanced.
        rows: (count, ...) like those of the queue, count <= size.
    """
    slots = (rows_written + torch.arange(len(rows), device=rows.device)) % len(queue)
    queue.index_copy_(0, slots, rows)
    rows_written.add_(len(rows))


def empty_slots(queue: Tensor, rows_written: Tensor) -> Tensor:
    """Which slots are still empty: bool (size,)."""
    return torch.arange(len(queue), device=queue.device) >= rows_written


class StepRows:
    """Collects rows from the parts of a step until its last part; it is empty between steps."""

    def __init__(self) -> None:
        self._rows: list[Tensor] = []

    def add(self, batch: Batch, rows: Tensor) -> Tensor | None:
        """Keep the rows of a part, (rows, dim); returns those of the whole step with its last part, else None."""
        self._rows.append(rows)
        if not batch.closes_step:
            return None
        whole = torch.cat(self._rows)
        self._rows.clear()
        return whole
