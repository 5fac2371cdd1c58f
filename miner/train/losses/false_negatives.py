"""False negatives: views of other images that are as similar to an item as its own views."""

from collections.abc import Iterable
from functools import reduce

import torch
from torch import Tensor

from miner.learning.precision import full_precision


@full_precision
@torch.no_grad()
def support_scores(views: Tensor, columns: Tensor, absent: Tensor) -> Tensor:
    """The highest cosine of any view of an item with each column (FNC, Huynh et al. 2022, arXiv 2011.11765, section 3.3).

    Args:
        views: rows of length 1, float32 (views, items, dim).
        columns: rows of length 1, float32 (columns, dim).
        absent: columns that are no candidates of an item, bool (items, columns).
    Returns:
        float32 (items, columns), -inf where absent.
    """
    cosines: Iterable[Tensor] = (view @ columns.T for view in views)
    return reduce(torch.maximum, cosines).masked_fill(absent, -torch.inf)


_ROUNDING = 1e-6


def score_at(quantile: float, scores: Tensor, candidates: int) -> Tensor:
    """The score that a share of 1 - quantile of all candidates is above, or fewer where scores are equal, as a scalar.

    Args:
        quantile: in [0, 1].
        scores: of all items, float32 (items, columns), -inf for what is no candidate.
        candidates: how many candidates the items have together, if none is left out for another reason.
    """
    above = min(round((1.0 - quantile) * candidates), candidates - 1)
    # Both items of a cosine may have it as their score: rounding must not decide which of them is above.
    return scores.flatten().topk(above + 1, sorted=False).values.min() + _ROUNDING


def found_false_negatives(scores: Tensor, most: int, threshold: Tensor | float) -> Tensor:
    """Columns with a score above the threshold, the `most` highest of each item at most: bool (items, columns).

    Args:
        scores: float32 (items, columns), -inf for what is no candidate.
    """
    highest = scores.topk(min(most, scores.shape[1]), dim=1).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, highest, True) & (scores > threshold)
