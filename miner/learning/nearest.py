"""The exact search for the most similar rows, with bounded memory.

Legend: Q queries, N gallery rows, d dimensions, k neighbours.
"""

import torch
from torch import Tensor

from miner.learning.precision import full_precision

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
