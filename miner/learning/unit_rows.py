"""Rows of length 1, their spread over the sphere, and their cosine as a loss."""

import torch
from torch import Tensor
from torch.nn import functional as F

from miner.learning.precision import full_precision, widened


def l2_normalise(features: Tensor) -> Tensor:
    """Rows scaled to length 1, float32 (batch, dim); float64 if they are float64."""
    return F.normalize(widened(features), dim=1)


@torch.no_grad()
def spread(features: Tensor) -> Tensor:
    """Standard deviation of features over the batch, times sqrt(dim): about 1 for features all over the sphere, 0 at collapse.

    The deviation of a healthy dimension is sqrt(1 / dim) (SimSiam, Chen & He 2021, arXiv 2011.10566, figure 2); the factor makes
    features of different widths comparable.

    Args:
        features: rows of length 1, float32 (batch, dim).
    Returns:
        float32 scalar.
    """
    deviation = features.std(dim=0, correction=0).mean()
    return deviation.mul(features.shape[1] ** 0.5)


@full_precision
def negative_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of -cos(prediction, target), with no gradient to the target (SimSiam, Chen & He 2021, arXiv 2011.10566, eq. 1-3).

    BYOL's error (Grill et al. 2020, arXiv 2006.07733, eq. 2) is 2 + 2 times this.

    Args:
        prediction, target: float32 (batch, dim), of any length.
    Returns:
        float32 scalar in [-1, 1].
    """
    return -F.cosine_similarity(prediction, target.detach(), dim=1).mean()
