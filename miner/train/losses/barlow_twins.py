"""Barlow Twins: the cross-correlation of two views should be the identity."""

from torch import Tensor

from miner.learning.precision import full_precision
from miner.train.losses.off_diagonal import off_diagonal_squares

OFF_DIAGONAL_WEIGHT = 0.0051
_VARIANCE_EPSILON = 1e-5


@full_precision
def cross_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Correlation over the batch of each dimension of one view with each dimension of the other (eq. 2).

    As in the authors' code, features are standardised as by batch normalisation, with the population variance plus 1e-5.

    Args:
        first, second: float32 (batch, dim), batch > 1.
    Returns:
        float32 (dim, dim), in [-1, 1].
    """
    return _standardised(first).T @ _standardised(second) / len(first)


@full_precision
def barlow_twins(first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """The loss on_diagonal + 0.0051 off_diagonal (Zbontar et al. 2021, arXiv 2103.03230, eq. 1), and its two terms.

    Args:
        first, second: embeddings, float32 (batch, dim), batch > 1; not normalised.
    Returns:
        float32 scalars "loss", "on_diagonal" (the sum of (1 - c_ii)^2) and "off_diagonal" (the sum of c_ij^2).
    """
    correlation = cross_correlation(first, second)
    on_diagonal = (1.0 - correlation.diagonal()).square().sum()
    off_diagonal = off_diagonal_squares(correlation)
    loss = on_diagonal + OFF_DIAGONAL_WEIGHT * off_diagonal
    return {"loss": loss, "on_diagonal": on_diagonal, "off_diagonal": off_diagonal}


def _standardised(features: Tensor) -> Tensor:
    centred = features - features.mean(dim=0)
    return centred / (features.var(dim=0, correction=0) + _VARIANCE_EPSILON).sqrt()
