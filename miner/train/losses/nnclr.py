"""NNCLR: the positive of a view is the nearest neighbour of the other view in a support set."""

import torch
from torch import Tensor

from miner.learning.precision import full_precision
from miner.train.losses.info_nce import without_negatives


@full_precision
def nearest_supports(projections: Tensor, supports: Tensor, absent: Tensor) -> Tensor:
    """The most similar support of each projection, without gradient; the projection itself if there is no support.

    Args:
        projections: rows of length 1, float32 (batch, dim).
        supports: rows of length 1, float32 (count, dim).
        absent: rows of `supports` that do not count, bool (count,).
    Returns:
        Rows of length 1, float32 (batch, dim).
    """
    projections = projections.detach()
    similarities = (projections @ supports.T).masked_fill(absent, -torch.inf)
    return torch.where(absent.all(), projections, supports[similarities.argmax(dim=1)])


@full_precision
def nnclr_logits(neighbours: Tensor, predictions: Tensor, temperature: float, absent: Tensor | None = None) -> Tensor:
    """Cosines over temperature of each neighbour with the prediction of its item, and with those of the other items.

    `info_nce` of them is NNCLR's loss in one direction (Dwibedi et al. 2021, arXiv 2104.14548, eq. 3).

    Args:
        neighbours: the neighbours of one view, rows of length 1, float32 (batch, dim).
        predictions: from the other view, rows of length 1, float32 (batch, dim).
        temperature: above 0.
        absent: predictions that are no negatives of a neighbour, bool (batch, batch); their logits are -inf.
    Returns:
        float32 (batch, batch) with the positive in column 0, then batch - 1 negatives.
    """
    # Column c of row i is the prediction i + c, cyclically.
    items = torch.arange(len(predictions), device=predictions.device)
    columns = (items.unsqueeze(1) + items) % len(predictions)
    logits = (neighbours @ predictions.T).gather(1, columns) / temperature
    return logits if absent is None else without_negatives(logits, absent.gather(1, columns))
