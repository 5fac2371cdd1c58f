"""InfoNCE with several positives in a row."""

import torch
from torch import Tensor

from miner.learning.precision import full_precision


@full_precision
def multi_positive(logits: Tensor, positives: Tensor, absent: Tensor) -> Tensor:
    """Mean over rows of logsumexp over all columns that count - mean over positives (SupCon, Khosla et al. 2020, arXiv 2004.11362,
    eq. 2; FNC, Huynh et al. 2022, arXiv 2011.11765, eq. 4).

    Args:
        logits: float32 (rows, columns).
        positives: bool (rows, columns), one or more in each row.
        absent: columns that the logsumexp leaves out, bool (rows, columns); not all of a row.
    Returns:
        float32 scalar.
    """
    of_positives = torch.where(positives, logits, 0.0).sum(dim=1) / positives.sum(dim=1)
    return (logits.masked_fill(absent, -torch.inf).logsumexp(dim=1) - of_positives).mean()
