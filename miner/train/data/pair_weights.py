"""How often pairs are drawn, by their score."""

import torch
from torch import Tensor


def rank_weights(scores: Tensor) -> Tensor:
    """The weights of pairs by the ranks of their scores: 0 for the lowest to 2 for the highest, 1 on average.

    Ranks serve scores of any scale: cosines that hardly differ, differences below 0, counts of votes. Pairs of equal score have
    the mean of their ranks.

    Args:
        scores: float64 (pairs,).
    Returns:
        float64 (pairs,), above 0.
    """
    _, inverse, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    ranks: Tensor = (2 * counts.cumsum(0) - counts).double()
    return ranks[inverse] / len(scores)
