"""Partners: further positives of an anchor in one step."""

from collections.abc import Callable

import torch
from torch import Tensor

from miner.train.data.batch import Batch
from miner.train.losses.info_nce import info_nce
from miner.train.losses.rince import rince

RowIndex = Tensor | slice
PairLoss = Callable[[RowIndex, RowIndex], Tensor]


def with_partners(batch: Batch, loss: PairLoss) -> Tensor:
    """The loss of every anchor with its own second view, and with each of its partners (SePP-ID, TMLR 2024, eq. 2).

    mean over anchors of [l(first, own second) + weight x sum over partners of l(first, partner)]; the anchor is encoded once.

    Args:
        loss: mean loss of some first views, each with one second view; called with the rows of both.
    Returns:
        float32 scalar.
    """
    items = len(batch.first)
    own = loss(slice(0, items), slice(0, items))
    if batch.partner_items is None:
        return own
    return own + batch.partners_weight * loss(batch.partner_items, slice(items, None))


def contrast_of_partners(batch: Batch, logits: Tensor, temperature: float) -> Tensor:
    """The mean loss of partners with their positive in column 0, float32 (rows, 1 + negatives): InfoNCE, or RINCE if asked for."""
    return info_nce(logits) if batch.rince is None else rince(logits, temperature, *batch.rince)


def own_item(partner_items: Tensor, items: int) -> Tensor:
    """Which item a partner belongs to: bool (partners, items); the views of that item are no negatives of the partner."""
    return partner_items.unsqueeze(1) == torch.arange(items, device=partner_items.device)


def either(one: Tensor, other: Tensor | None) -> Tensor:
    """The union of two masks, of which the second may be missing."""
    return one if other is None else one | other
