"""Several positives of one anchor in one step."""

from collections.abc import Callable

import torch
from torch import Tensor

from miner.train.data.batch import Batch

Rows = Tensor | slice
PairLoss = Callable[[Rows, Rows], Tensor]


def over_positives(batch: Batch, loss: PairLoss) -> Tensor:
    """The loss of every anchor with its own view, and with each of its partners (SePP-ID, TMLR 2024, eq. 2).

    mean over anchors of [l(first, own second) + weight x sum over partners of l(first, partner)]; the anchor is encoded once.

    Args:
        batch: of the step.
        loss: mean loss of rows of the first views, each with the row of the second views at the same place.
    Returns:
        float32 scalar.
    """
    items = len(batch.first)
    own = loss(slice(0, items), slice(0, items))
    if batch.owners is None:
        return own
    return own + batch.partner_share * loss(batch.owners, slice(items, None))


def own_items(owners: Tensor, items: int) -> Tensor:
    """Which item a partner belongs to, whose views are no negatives of it: bool (partners, items)."""
    return owners.unsqueeze(1) == torch.arange(items, device=owners.device)


def either(one: Tensor, other: Tensor | None) -> Tensor:
    """Where one of two masks is true; the second may be missing."""
    return one if other is None else one | other
