"""MNN: a key is mixed with its nearest neighbours among earlier keys."""

import torch
from torch import Tensor

from miner.learning.precision import full_precision


@full_precision
def nearest_places(keys: Tensor, supports: Tensor, absent: Tensor, count: int) -> Tensor:
    """The places of the `count` supports most similar to each key, -1 where there are fewer: int64 (batch, count or fewer).

    Args:
        keys, supports: rows of length 1, float32 (batch, dim) and (places, dim).
        absent: supports that do not count, bool (places,) or (batch, places).
    """
    best = (keys @ supports.T).masked_fill(absent, -torch.inf).topk(min(count, len(supports)), dim=1)
    return best.indices.masked_fill(best.values == -torch.inf, -1)


@full_precision
def mixed_with_nearest(keys: Tensor, supports: Tensor, absent: Tensor, count: int, share: Tensor) -> Tensor:
    """The mean mixture of each key with one of its nearest supports (MNN, arXiv 2311.00562): float32 (batch, dim).

    mean over j of [share x support j + (1 - share) x key]. As in the authors' code, mixtures are not normalised. A key takes the
    place of a support that is missing.

    Args:
        keys, supports, absent, count: as for `nearest_places`.
        share: of the support, float32 scalar in [0, 1).
    """
    places = nearest_places(keys, supports, absent, count)
    near = torch.where((places < 0).unsqueeze(2), keys.unsqueeze(1), supports[places])
    return keys.lerp(near.mean(dim=1), share)
