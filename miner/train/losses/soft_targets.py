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
def relation_logits(queries: Tensor, others: Tensor, temperature: float, absent: Tensor | None = None) -> Tensor:
    """Cosines of queries with others over temperature, whose softmax is the relation of a query to the others.

    Absent places get the smallest finite number. With -inf, their share of a cross-entropy would be 0 x -inf, and a row without
    any place would have no softmax.

    Args:
        queries, others: rows of length 1, float32 (rows, dim) and (columns, dim).
        temperature: above 0.
        absent: others that do not count, bool (columns,) or (rows, columns).
    Returns:
        float32 (rows, columns).
    """
    logits = queries @ others.T / temperature
    return logits if absent is None else logits.masked_fill(absent, torch.finfo(logits.dtype).min)


def mixture_shares(items: int, shares: Tensor) -> Tensor:
    """How much of each image is in each mixture, if mixture i takes these shares of the images i, i + 1, ..., cyclically.

    Args:
        shares: float32 (count,), with sum 1.
    Returns:
        (items, items): a row for each mixture; rows sum to 1.
    """
    places = torch.arange(len(shares), device=shares.device) + torch.arange(items, device=shares.device).unsqueeze(1)
    return shares.new_zeros(items, items).scatter_add_(1, places % items, shares.expand(items, -1))


@full_precision
def common_shares(queries: Tensor, keys: Tensor, alike: Tensor | None = None) -> Tensor:
    """How much mixtures have in common: the sum over images of both shares. Rows sum to 1, so these are soft targets
    (PatchMix, Shen et al. 2023, arXiv 2306.12243, section 3.3).

    Of two images with equal shares, mixture i has 1/2 in common with the images i and i + 1, and 1/4, 1/2, 1/4 with the mixtures
    i - 1, i, i + 1.

    Args:
        queries, keys: `mixture_shares`, float32 (rows, images) and (columns, images).
        alike: pairs of an image of a query and one of a key that count as one image, float32 (images, images); if not given, each
            image and itself.
    Returns:
        float32 (rows, columns).
    """
    return (queries if alike is None else queries @ alike) @ keys.T
