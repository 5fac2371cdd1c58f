"""Cross-entropy with soft targets: DINO, relations to a queue, mixtures."""

import torch
from torch import Tensor
from torch.nn import functional as F

from miner.learning.precision import full_precision


@full_precision
def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over rows of - sum of targets x log softmax of the logits.

    Args:
        logits: finite, float32 (rows, columns).
        targets: float32 (rows, columns); rows sum to 1.
    Returns:
        float32 scalar.
    """
    return -(targets * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


@full_precision
def relation_logits(queries: Tensor, others: Tensor, temperature: float, absent: Tensor) -> Tensor:
    """Cosines of queries with others over temperature, whose softmax is the relation of a query to the others.

    Absent places get the smallest finite number. With -inf, their share of a cross-entropy would be 0 x -inf, and a row without
    any place would have no softmax.

    Args:
        queries, others: rows of length 1, float32 (rows, dim) and (columns, dim).
        temperature: above 0.
        absent: others that do not count, bool (columns,).
    Returns:
        float32 (rows, columns).
    """
    logits = queries @ others.T / temperature
    return logits.masked_fill(absent, torch.finfo(logits.dtype).min)
