"""The ranks of the images of a few pairs among the nearest neighbours of each other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows, Vectors, blocks
from miner.engine import Record

_BLOCK_ROWS = 4096
_MOST_IMAGES = 50_000  # as many cosines with each image of a pair are computed


def ranked_pairs(pairs: Sequence[Record], vectors: Vectors) -> list[Record]:
    """The pairs with `rank_a`, the place of a among all images by their cosine with b, and `rank_b`, from 1.

    What the rule has written stays. Where there are very many images, no ranks are added.
    """
    if not pairs or "rank_a" in pairs[0] or len(vectors) > _MOST_IMAGES:
        return [*pairs]
    rows = np.unique([pair[side] for pair in pairs for side in ("a", "b")])
    cosines = dict(zip(rows.tolist(), cosines_with_all(vectors, rows), strict=True))

    def rank(image: int, among: int) -> int:
        return int((cosines[among] > cosines[among][image]).sum()) + 1

    return [{**pair, "rank_a": rank(pair["a"], pair["b"]), "rank_b": rank(pair["b"], pair["a"])} for pair in pairs]


def cosines_with_all(vectors: Vectors, rows: Rows) -> NDArray[np.float64]:
    """Cosines of some images with all n, float64 (len(rows), n); -inf for an image with itself.

    In NumPy, because the report imports no torch.
    """
    queries = _unit(vectors.take(rows))
    cosines = np.hstack([queries @ _unit(vectors.read(*block)).T for block in blocks(len(vectors), _BLOCK_ROWS)])
    cosines[np.arange(len(rows)), rows] = -np.inf
    return cosines


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    doubles = np.asarray(rows, np.float64)
    units: NDArray[np.float64] = doubles / np.linalg.norm(doubles, axis=1, keepdims=True)
    return units
