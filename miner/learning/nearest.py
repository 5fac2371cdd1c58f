"""The exact search for the most similar rows, and classification by their vote, as pure functions.

Legend: Q queries, N gallery rows, d dimensions, k neighbours, c classes.
"""

import torch
from torch import Tensor

from miner.learning.precision import full_precision

# k and temperature: the protocols of MoCo's CIFAR demo, and of DINO (Caron et al. 2021, arXiv 2104.14294).
PROTOCOLS = ((200, 0.1), (20, 0.07))
SIMILARITIES_AT_ONCE = 1 << 24  # 64 MiB


def nearest_rows(
    queries: Tensor, gallery: Tensor, k: int, *, at_once: int = SIMILARITIES_AT_ONCE
) -> tuple[Tensor, Tensor]:
    """The k most similar gallery rows of many queries, most similar first: some queries at a time, each with the whole gallery.

    Args:
        queries, gallery: float32 (Q, d) and (N, d).
        k: at most N.
        at_once: most inner products in memory.
    Returns:
        Inner products, float32 (Q, k), and row numbers, int64 (Q, k).
    """
    parts = [(part @ gallery.T).topk(k, dim=1) for part in torch.split(queries, max(1, at_once // len(gallery)))]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


@full_precision
def nearest_by_blocks(
    queries: Tensor, gallery: Tensor, k: int, filled: Tensor, *, at_once: int = SIMILARITIES_AT_ONCE
) -> tuple[Tensor, Tensor]:
    """`nearest_rows` for few queries and a large gallery of which only some rows count: by blocks of the gallery.

    Args:
        queries, gallery, k, at_once: as there.
        filled: which rows count, bool (N,).
    Returns:
        As there, with 0 and -1 where fewer rows count.
    """
    block = max(k, at_once // len(queries))
    values, ids = queries.new_empty(len(queries), 0), filled.new_empty(len(queries), 0, dtype=torch.long)
    for start in range(0, len(gallery), block):
        part = slice(start, start + block)
        products = (queries @ gallery[part].T).masked_fill(~filled[part], -torch.inf)
        rows = torch.arange(start, start + products.shape[1], device=gallery.device).expand_as(products)
        values, ids = torch.cat([values, products], dim=1), torch.cat([ids, rows], dim=1)
        best = values.topk(min(k, values.shape[1]))
        values, ids = best.values, ids.gather(1, best.indices)
    missing = values == -torch.inf
    return values.masked_fill(missing, 0.0), ids.masked_fill(missing, -1)


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
    Returns:
        int64 (Q,).
    """
    similarities, neighbours = nearest_rows(queries, gallery, k)
    return weighted_vote(similarities, labels[neighbours], temperature, class_count)


def weighted_vote(similarities: Tensor, labels: Tensor, temperature: float, class_count: int) -> Tensor:
    """The class with the greatest sum of exp(cosine / temperature), int64 (Q,).

    Args:
        similarities: float32 (Q, k).
        labels: int64 (Q, k), of the same neighbours.
    """
    # Shifted by the best of each query, which changes no winner and keeps small temperatures from overflowing.
    weights = ((similarities - similarities.amax(dim=1, keepdim=True)) / temperature).exp()
    votes = torch.zeros(len(similarities), class_count, device=similarities.device)
    return votes.scatter_add_(1, labels, weights).argmax(dim=1)


def accuracy_percent(predicted: Tensor, truth: Tensor) -> float:
    """Share of equal entries in percent, to three digits after the point."""
    return round(100.0 * (predicted == truth).float().mean().item(), 3)


def votes_by_protocol(queries: Tensor, gallery: Tensor, labels: Tensor, class_count: int) -> list[Tensor]:
    """The class of each query under each of `PROTOCOLS`, int64 (Q,); one search for the greatest k serves all.

    Args:
        queries: rows of length 1, float32 (Q, d).
        gallery: rows of length 1, float32 (N, d).
        labels: the labels of the gallery, int64 (N,), in [0, class_count).
    """
    most = min(max(k for k, _ in PROTOCOLS), len(gallery))
    similarities, neighbours = nearest_rows(queries, gallery, most)
    voters = labels[neighbours]
    return [weighted_vote(similarities[:, :k], voters[:, :k], temperature, class_count) for k, temperature in PROTOCOLS]
