"""Which of the mined pairs are exported."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.decisions import Pair
from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.pairs.selection import capped
from miner.artifacts.pairs.table import read_pairs


def mined_pairs(path: Path) -> pa.Table:
    """The mined pairs, with a `pair_key` that does not depend on which pairs are exported.

    Raises:
        MinerError: the file is missing or damaged.
    """
    table = read_pairs(path)
    return table.add_column(0, "pair_key", pa.array([f"pair-{row:09d}" for row in range(len(table))], pa.string()))


def choose_pairs(table: pa.Table, reject: set[Pair], max_degree: int | None) -> tuple[pa.Table, dict[str, int]]:
    """The pairs to export, in the order of the table, and how many were left out for each reason.

    Rejected pairs are left out first, so that they do not count under `max_degree`.
    """
    keys = zip(table["key_a"].to_pylist(), table["key_b"].to_pylist(), strict=True)
    keep = np.asarray([tuple(sorted(pair)) not in reject for pair in keys], bool)
    left_out: dict[str, Any] = {"rejected": len(keep) - int(keep.sum()), "max_degree": 0}
    if max_degree is not None and keep.any():
        rows = np.flatnonzero(keep)
        chosen = table.take(pa.array(rows))
        a, b = chosen["a"].to_numpy(), chosen["b"].to_numpy()
        under = _under_degree(a, b, chosen["similarity"].to_numpy().astype(np.float64), max_degree)
        left_out["max_degree"] = len(rows) - int(under.sum())
        keep[rows[~under]] = False
    return table.filter(pa.array(keep)), left_out


def _under_degree(a: Rows, b: Rows, similarity: NDArray[np.float64], max_degree: int) -> NDArray[np.bool_]:
    """Whether `capped` keeps the pair of each row, bool (m,). A pair in both orders counts once and keeps both rows or none."""
    codes = np.minimum(a, b) * (max(int(a.max()), int(b.max())) + 1) + np.maximum(a, b)
    _, first, pair_of_row = np.unique(codes, return_index=True, return_inverse=True)
    return np.asarray(capped(a[first], b[first], similarity[first], max_degree)[pair_of_row], bool)
