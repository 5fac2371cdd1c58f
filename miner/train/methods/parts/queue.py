"""The ring buffers behind the queues of methods; each method owns its buffers and says when rows enter."""

from collections.abc import Sequence

import torch
from torch import Tensor

from miner.train.data.batch import Batch


@torch.no_grad()
def enqueue(queues: Sequence[Tensor], rows_written: Tensor, rows: Sequence[Tensor]) -> None:
    """Overwrite the oldest rows of ring buffers, in place: the same slots of each.

    Args:
        queues: (size, ...) each, of any dtype.
        rows_written: int64 scalar, how many rows have ever been put in; it is advanced.
        rows: for each queue, (count, ...) like its rows, count <= size.
    """
    count = len(rows[0])
    slots = (rows_written + torch.arange(count, device=rows_written.device)) % len(queues[0])
    for queue, new in zip(queues, rows, strict=True):
        queue.index_copy_(0, slots, new)
    rows_written.add_(count)


def empty_slots(queue: Tensor, rows_written: Tensor) -> Tensor:
    """Which slots are still empty: bool (size,)."""
    return torch.arange(len(queue), device=queue.device) >= rows_written


class StepRows:
    """Collects rows from the parts of a step until its last part; it is empty between steps."""

    def __init__(self) -> None:
        self._rows: list[tuple[Tensor, ...]] = []

    def add(self, batch: Batch, *rows: Tensor) -> list[Tensor]:
        """Keep tensors of a part, (rows, ...) each; returns those of the whole step with its last part, else an empty list."""
        self._rows.append(rows)
        if not batch.closes_step:
            return []
        whole = [torch.cat(parts) for parts in zip(*self._rows, strict=True)]
        self._rows.clear()
        return whole
