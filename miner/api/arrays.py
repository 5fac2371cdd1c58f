"""The exact searches on vectors that are in memory: no workspace, and no files."""

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from miner.artifacts.embeddings.vectors import JoinedVectors, MemoryVectors, Vectors
from miner.errors import UsageError
from miner.machine.memory import default_bytes

if TYPE_CHECKING:
    from torch import Tensor

    Vectors2d = ArrayLike | Tensor


def band_join(
    vectors: "Vectors2d",
    low: float = 0.97,
    high: float = 0.99,
    *,
    against: "Vectors2d | None" = None,
    device: str = "cpu",
    max_pairs: int = 50_000_000,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Every pair of different rows whose cosine lies in [low, high]: exact, as `miner pairs --min LOW --max HIGH` finds them.

    With `against`, every pair of a row of `vectors` and a row of `against`.

    Args:
        vectors: (n, d), numpy or torch, float16, float32 or float64; float64 is rounded to float32. Rows need not have length 1.
        low, high: the band, both ends included, -1 to 1.
        against: (m, d), another set. If one of the two sets is float16 and the other is not, both are searched in float32.
        device: cpu, cuda, cuda:1 or auto.
        max_pairs: an error is raised if more pairs reach `low`.
    Returns:
        a, b: row numbers, int64 (p,), sorted by (a, b). Within one set, a < b; else a is a row of `vectors`, b of `against`.
        cosine: float64 (p,), the cosines of the stored rows.
    Raises:
        MinerError: a row is zero or not finite, the band holds too many pairs, or an argument is wrong.

    >>> import numpy as np, miner
    >>> a, b, cosine = miner.band_join(np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]]), low=0.9, high=0.99)
    >>> a.tolist(), b.tolist(), cosine.round(2).tolist()
    ([1], [2], [0.96])
    >>> a, b, cosine = miner.band_join(np.eye(2), low=0.9, high=1.0, against=np.array([[0.0, 2.0]]))
    >>> a.tolist(), b.tolist(), cosine.tolist()
    ([1], [0], [1.0])
    """
    from miner.artifacts.pairs.band import Band
    from miner.pairs.band_join import BandJoin
    from miner.pairs.engines.select import exact_engine
    from miner.pairs.options import PairsOptions

    PairsOptions.parse({"min": low, "max": high})
    band = Band(low, high)
    stored, first = _joined(vectors, against)
    pairs = None if first is None else first * (len(stored) - first)
    engine = partial(exact_engine, stored, band.low, device, default_bytes(), pairs)
    found = BandJoin(engine, stored, band, max_pairs, min_b=first or 0, end_a=first).run_in_memory()
    found = found.select(band.contains(found.similarity))
    return found.a, found.b - (first or 0), found.similarity


def nearest(
    vectors: "Vectors2d", k: int, *, against: "Vectors2d | None" = None, high: float = float("inf"), device: str = "cpu"
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k most similar other rows of each row, or the k most similar rows of another set: exact.

    Args:
        vectors: (n, d), as for `band_join`.
        k: neighbours per row, at least 1.
        against: (m, d), the rows to choose from; the other rows of `vectors` if not given.
        high: rows above this cosine are near-duplicates and no neighbours.
        device: as for `band_join`.
    Returns:
        ids: row numbers, int64 (n, k), most similar first; equal cosines by row number. -1 where fewer than k rows are left.
        cosines: float64 (n, k), NaN where the id is -1.
    Raises:
        MinerError: a row is zero or not finite, there are fewer than k rows to choose from, or an argument is wrong.

    >>> import numpy as np, miner
    >>> ids, cosines = miner.nearest(np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]]), k=1)
    >>> ids.tolist(), cosines.round(2).tolist()
    ([[1], [2], [1]], [[0.8], [0.96], [0.96]])
    """
    stored, first = _joined(vectors, against)
    choices = len(stored) - (first or 1)
    if not 0 < k <= choices:
        raise UsageError(f"k={k}: there are {choices} rows to choose from, so k lies between 1 and {choices}.")
    from miner.pairs.neighbours.candidates import NOBODY, ListRule
    from miner.pairs.neighbours.lists import ListSearch

    rule = ListRule(stored, k, high, asking=None if first is None else range(first))
    ids, cosines = ListSearch(rule, default_bytes(), device).in_memory()
    return np.where(ids == NOBODY, NOBODY, ids - (first or 0)), cosines


def _joined(vectors: "Vectors2d", against: "Vectors2d | None") -> tuple[Vectors, int | None]:
    """The rows to search: those of one set and None, or of one set after the other and the number of rows in the first."""
    stored = stored_rows(vectors, "vectors")
    if against is None:
        return stored, None
    other = stored_rows(against, "against")
    if other.dim != stored.dim:
        raise UsageError(f"against has {other.dim} dimensions, and vectors have {stored.dim}; cosines need one width.")
    return JoinedVectors(stored, other), len(stored)


def stored_rows(vectors: Any, name: str) -> MemoryVectors:
    """Vectors as the searches read them: float16 as given, anything else in float32."""
    if hasattr(vectors, "detach"):  # a tensor, whose type numpy may not have
        vectors = vectors.detach().cpu()
        vectors = vectors if str(vectors.dtype) == "torch.float16" else vectors.float()
    array = np.asarray(vectors)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating) or 0 in array.shape:
        raise UsageError(f"{name} must be floating numbers of shape (n, d), not {array.dtype} of {array.shape}.")
    dtype = np.float16 if array.dtype == np.float16 else np.float32
    return MemoryVectors(cast("NDArray[np.floating]", np.ascontiguousarray(array, dtype)))
