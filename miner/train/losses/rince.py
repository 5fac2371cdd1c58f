"""RINCE: InfoNCE for positive pairs of which some are wrong."""

import math

import torch
from torch import Tensor

from miner.learning.precision import full_precision


@full_precision
def rince(logits: Tensor, temperature: float, q: float, density: float) -> Tensor:
    """Mean of exp(-q / temperature) x (-pos^q + (density x (pos + neg))^q) / q (Chuang et al. 2022, arXiv 2201.04309).

    pos is exp(logit of the positive), neg the sum of exp over the negatives. With q near 0 it is InfoNCE + log(density). A larger q
    gives a positive of cosine c a share exp(-q (1 - c) / temperature) of the gradient: pairs that do not look alike pull less.

    Deviation: the paper has no factor exp(-q / temperature). With it, that share is 1 at cosine 1, so the loss has the scale of
    InfoNCE and can be added to it.

    Args:
        logits: cosines over temperature, float32 (batch, 1 + count) with the positive in column 0; -inf for what does not count.
        q: in (0, 1].
        density: lambda in the paper, in (0, 1].
    Returns:
        float32 scalar.
    """
    positive, every = logits[:, 0], logits.logsumexp(dim=1) + math.log(density)
    return (torch.expm1(q * (every - 1.0 / temperature)) - torch.expm1(q * (positive - 1.0 / temperature))).mean() / q
