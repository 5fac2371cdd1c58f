"""DINO: the student's distribution over prototypes follows the teacher's, which is centred and sharpened."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from miner.learning.precision import full_precision
from miner.train.losses.soft_targets import soft_cross_entropy


@full_precision
def teacher_targets(logits: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """softmax((logits - centre) / temperature), without gradient.

    Args:
        logits: the logits of the teacher, float32 (batch, prototypes).
        centre: float32 (prototypes,).
        temperature: the temperature of the teacher, above 0 and below the student's.
    Returns:
        float32 (batch, prototypes); rows sum to 1.
    """
    return F.softmax((logits.detach() - centre) / temperature, dim=1)


@full_precision
def dino(student: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of the student's distribution under the teacher's of another view (Caron et al. 2021, arXiv
    2104.14294, eq. 2 and algorithm 1).

    Args:
        student: logits, float32 (batch, prototypes).
        targets: float32 (batch, prototypes); rows sum to 1.
        temperature: the temperature of the student, above 0.
    Returns:
        float32 scalar.
    """
    return soft_cross_entropy(student / temperature, targets)


@full_precision
def with_crops(views_loss: Tensor, crops: Sequence[Tensor], targets: Sequence[Tensor], temperature: float) -> Tensor:
    """The mean loss over all pairs of a view of the teacher and another view or crop of the student (eq. 3).

    There are 2 + 2n pairs: 2 of two views, and 2 for each of n crops. The loss of a crop is that with the mean of both targets.

    Args:
        views_loss: mean over the two pairs of views, float32 scalar.
        crops: logits of the student, n of float32 (batch, prototypes).
        targets: the targets of both views, float32 (batch, prototypes) each.
        temperature: the temperature of the student, above 0.
    Returns:
        float32 scalar.
    """
    target = torch.stack(list(targets)).mean(dim=0)
    return (views_loss + sum(dino(crop, target, temperature) for crop in crops)) / (1 + len(crops))


@full_precision
def moved_centre(centre: Tensor, logits: Tensor, momentum: float) -> Tensor:
    """The centre after a batch of teacher logits (eq. 4): momentum centre + (1 - momentum) mean.

    Args:
        centre: float32 (prototypes,).
        logits: the logits of the teacher, all views, float32 (rows, prototypes).
        momentum: a number in [0, 1].
    Returns:
        float32 (prototypes,), without gradient.
    """
    return centre.lerp(logits.detach().mean(dim=0), 1.0 - momentum)
