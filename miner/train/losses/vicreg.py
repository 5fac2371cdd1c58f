"""VICReg: variance, invariance and covariance of embeddings."""

import torch
from torch import Tensor
from torch.nn import functional as F

from miner.learning.precision import full_precision
from miner.train.losses.off_diagonal import off_diagonal_squares

INVARIANCE_WEIGHT = 25.0
VARIANCE_WEIGHT = 25.0
COVARIANCE_WEIGHT = 1.0
_STD_EPSILON = 1e-4


@full_precision
def invariance(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared difference over items and dimensions.

    The paper sums over dimensions (eq. 5). The authors' code takes this mean, and the weights are made for the mean.

    Args:
        first, second: float32 (batch, dim).
    Returns:
        float32 scalar.
    """
    return F.mse_loss(first, second)


@full_precision
def variance(first: Tensor, second: Tensor) -> Tensor:
    """By how much the standard deviation of a dimension is below 1: the mean over dimensions and both views.

    The paper adds both views (eq. 6). The authors' code halves the sum, and the weights are made for the half.

    Args:
        first, second: float32 (batch, dim), batch > 1.
    Returns:
        float32 scalar in [0, 1].
    """
    deviations = torch.stack([first, second]).var(dim=1).add(_STD_EPSILON).sqrt()
    return F.relu(1.0 - deviations).mean()


@full_precision
def covariance(first: Tensor, second: Tensor) -> Tensor:
    """Squared covariances of different dimensions, divided by the number of dimensions: the sum over both views (eq. 4).

    Args:
        first, second: float32 (batch, dim), batch > 1.
    Returns:
        float32 scalar.
    """
    return (
        sum((off_diagonal_squares(_covariances(view)) for view in (first, second)), start=first.new_zeros(()))
        / first.shape[1]
    )


def vicreg(first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """The loss 25 invariance + 25 variance + covariance (Bardes et al. 2022, arXiv 2105.04906), and its three terms.

    Args:
        first, second: embeddings, float32 (batch, dim), batch > 1; not normalised.
    Returns:
        float32 scalars "loss", "invariance", "variance" and "covariance".
    """
    terms = {
        "invariance": invariance(first, second),
        "variance": variance(first, second),
        "covariance": covariance(first, second),
    }
    weights = (INVARIANCE_WEIGHT, VARIANCE_WEIGHT, COVARIANCE_WEIGHT)
    weighted = [weight * term for weight, term in zip(weights, terms.values(), strict=True)]
    return {"loss": torch.stack(weighted).sum(), **terms}


def _covariances(view: Tensor) -> Tensor:
    """As `Tensor.cov`, which waits for the GPU: (batch, dim) -> (dim, dim)."""
    centred = (view - view.mean(dim=0)).T
    return centred @ centred.T / (len(view) - 1)
