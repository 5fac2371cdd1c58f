"""InfoNCE with explicit negatives."""

import torch
from torch import Tensor
from torch.nn import functional as F

from miner.learning.precision import full_precision


@full_precision
def info_nce_logits(
    query: Tensor, positive: Tensor, negatives: Tensor, temperature: float, absent: Tensor | None = None
) -> Tensor:
    """Cosines over temperature: of each query with its positive (column 0) and with every negative.

    Args:
        query: rows of length 1, float32 (batch, dim).
        positive: rows of length 1, float32 (batch, dim); row i belongs to query i.
        negatives: rows of length 1, float32 (count, dim), for all queries.
        temperature: above 0.
        absent: negatives that do not count, bool (count,) or (batch, count); their logits are -inf.
    Returns:
        float32 (batch, 1 + count).
    """
    to_positive = (query * positive).sum(dim=1, keepdim=True)
    to_negatives = query @ negatives.T
    if absent is not None:
        to_negatives = to_negatives.masked_fill(absent, -torch.inf)
    return torch.cat([to_positive, to_negatives], dim=1) / temperature


@full_precision
def info_nce(logits: Tensor) -> Tensor:
    """Mean of -log softmax at the positive (van den Oord et al. 2018, arXiv 1807.03748, eq. 4; MoCo, eq. 1).

    Args:
        logits: float32 (batch, 1 + count) with the positive in column 0.
    Returns:
        float32 scalar.
    """
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def without_negatives(logits: Tensor, absent: Tensor) -> Tensor:
    """Logits with -inf for negatives that do not count; the positive in column 0 always counts. Both (batch, 1 + count)."""
    is_negative = torch.arange(logits.shape[1], device=logits.device) > 0
    return logits.masked_fill(absent & is_negative, -torch.inf)


def contrastive_accuracy(logits: Tensor) -> Tensor:
    """Share of queries whose positive is more similar than every negative, as a float32 scalar."""
    return (logits[:, :1] > logits[:, 1:]).all(dim=1).float().mean()
