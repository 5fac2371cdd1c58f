"""What each view of an item is compared with, if an item has several positives."""

from dataclasses import dataclass

import torch
from torch import Tensor

from miner.learning.parallel.collectives import gather_rows, rows_of_this_process
from miner.train.data.batch import Batch
from miner.train.methods.parts.queue import empty_slots


@dataclass(frozen=True)
class ViewColumns:
    """The views of all items of a step, view by view, and then the places of a queue. Masks are for the items of this process.

    Attributes:
        features: rows of length 1, (columns, dim).
        images: rows of the images that they show, int64 (columns,).
        views: which view of its item a column is, int64 (columns,); -1 in the queue.
        own: the views of an item, bool (items, columns).
        empty: places that hold nothing yet, bool (columns,).
        absent: what is neither a view of the item nor a negative of a view that shows its anchor, and of one that shows its
            positive: bool (items, columns) each.
    """

    features: Tensor
    images: Tensor
    views: Tensor
    own: Tensor
    empty: Tensor
    absent: tuple[Tensor, Tensor]


def columns_of(batch: Batch, keys: Tensor, queue: Tensor, queue_rows: Tensor, queued: Tensor) -> ViewColumns:
    """The columns of a step.

    Args:
        keys: of the views of this process, rows of length 1, (views, items, dim); even views show the anchor, odd ones the
            positive.
        queue, queue_rows, queued: keys of earlier steps, the images that they show, and how many have ever been put in.
    """
    # One exchange serves all views.
    whole = gather_rows(keys.transpose(0, 1).contiguous()).transpose(0, 1)
    (views, items), device = whole.shape[:2], whole.device
    images = [gather_rows(batch.anchors), gather_rows(batch.positives[: len(batch.anchors)])]
    shown = torch.cat([*(images[view % 2] for view in range(views)), queue_rows])
    item, none = torch.arange(items, device=device), torch.full_like(queue_rows, -1)
    own = rows_of_this_process(item).unsqueeze(1) == torch.cat([item.repeat(views), none])
    empty = torch.cat([torch.zeros(views * items, dtype=torch.bool, device=device), empty_slots(queue, queued)])

    def absent(of_view: Tensor) -> Tensor:
        known = batch.known_positive_mask(of_view, shown)
        return empty.expand_as(own) if known is None else empty | (known & ~own)

    return ViewColumns(
        torch.cat([whole.flatten(0, 1), queue]),
        shown,
        torch.cat([torch.arange(views, device=device).repeat_interleave(items), none]),
        own,
        empty,
        (absent(batch.anchors), absent(batch.positives[: len(batch.anchors)])),
    )
