"""NT-Xent: InfoNCE whose negatives are the other images of the batch."""

import torch
from torch import Tensor

from miner.learning.precision import full_precision
from miner.train.losses.info_nce import without_negatives


@full_precision
def nt_xent_logits(first: Tensor, second: Tensor, temperature: float, absent: Tensor | None = None) -> Tensor:
    """Cosines over temperature of each view with the other view of its item, and with all views of the other items.

    `info_nce` of them is NT-Xent (SimCLR, Chen et al. 2020, arXiv 2002.05709, eq. 1), the mean over all 2B views.

    Args:
        first, second: rows of length 1, float32 (batch, dim); row i of both belongs to item i.
        temperature: above 0.
        absent: views that are no negatives of a view, bool (2 batch, 2 batch); their logits are -inf.
    Returns:
        float32 (2 batch, 2 batch - 1): rows of `first`, then of `second`; the positive in column 0, then 2 (batch - 1) negatives.
    """
    views = torch.cat([first, second])
    count, batch = len(views), len(first)
    # Column c of row i is the view i + batch + c, cyclically; c = batch would be the view itself.
    shifts = torch.cat([torch.arange(*ends, device=views.device) for ends in ((0, batch), (batch + 1, count))])
    columns = (torch.arange(batch, batch + count, device=views.device).unsqueeze(1) + shifts) % count
    logits = (views @ views.T).gather(1, columns) / temperature
    return logits if absent is None else without_negatives(logits, absent.gather(1, columns))
