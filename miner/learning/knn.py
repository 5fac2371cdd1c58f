"""Weighted nearest-neighbour classification, as pure functions.

Legend: Q queries, N gallery rows, d dimensions, k neighbours, c classes.
"""

import torch
from torch import Tensor

from miner.learning.nearest import nearest_rows

# k and temperature: the protocols of MoCo's CIFAR demo, and of DINO (Caron et al. 2021, arXiv 2104.14294).
PROTOCOLS = ((200, 0.1), (20, 0.07))


def knn_vote(
    queries: Tensor, gallery: Tensor, labels: Tensor, *, k: int, temperature: float, class_count: int
) -> Tensor:
    """Classify by the k most similar gallery rows, each voting exp(cosine / temperature) for its class.

    After Wu et al. 2018 (arXiv 1805.01978, section 3.4). Equal votes go to the lower class.

    Args:
        queries: rows of length 1, float32 (Q, d).
        gallery: rows of length 1, float32 (N, d).
        labels: int64 (N,), in [0, class_count).
        k: at most N.
        temperature: above 0.
        class_count: c.
    Returns:
        int64 (Q,).
    """
    similarities, neighbours = nearest_rows(queries, gallery, k)
    return weighted_vote(similarities, labels[neighbours], temperature, class_count)


def weighted_vote(similarities: Tensor, labels: Tensor, temperature: float, class_count: int) -> Tensor:
    """The class with the greatest sum of exp(cosine / temperature).

    Args:
        similarities: float32 (Q, k).
        labels: int64 (Q, k), of the same neighbours.
        temperature: above 0.
        class_count: c.
    Returns:
        int64 (Q,).
    """
    # Shifted by the best of each query, which changes no winner and keeps small temperatures from overflowing.
    weights = ((similarities - similarities.amax(dim=1, keepdim=True)) / temperature).exp()
    votes = torch.zeros(len(similarities), class_count, device=similarities.device)
    return votes.scatter_add_(1, labels, weights).argmax(dim=1)


def accuracy_percent(predicted: Tensor, truth: Tensor) -> float:
    """Share of equal entries in percent, to three digits after the point."""
    return round(100.0 * (predicted == truth).float().mean().item(), 3)


def accuracies_by_protocol(
    queries: Tensor, gallery: Tensor, labels: Tensor, truth: Tensor, class_count: int
) -> list[float]:
    """Accuracy in percent under each of `PROTOCOLS`; one search for the greatest k serves all.

    Args:
        queries: rows of length 1, float32 (Q, d).
        gallery: rows of length 1, float32 (N, d).
        labels: of the gallery, int64 (N,), in [0, class_count).
        truth: of the queries, int64 (Q,).
        class_count: c.
    """
    most = min(max(k for k, _ in PROTOCOLS), len(gallery))
    similarities, neighbours = nearest_rows(queries, gallery, most)
    voters = labels[neighbours]
    return [
        accuracy_percent(weighted_vote(similarities[:, :k], voters[:, :k], temperature, class_count), truth)
        for k, temperature in PROTOCOLS
    ]
