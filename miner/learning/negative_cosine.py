"""Negative cosine similarity to a fixed target."""

from torch import Tensor
from torch.nn import functional as F

from miner.learning.precision import full_precision


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
