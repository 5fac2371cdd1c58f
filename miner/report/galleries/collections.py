"""Images that the page shows together: groups as contact sheets, and images that are in no pair, and the partners of an image."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from miner.artifacts.parquet import read_columns
from miner.artifacts.workspace import Workspace

_GROUPS, _MEMBERS = 8, 12
_WITHOUT = 12
_PARTNERS = 8


def largest_groups(workspace: Workspace) -> list[list[int]]:
    """Rows of some images of the largest groups, the largest group first; nothing where `miner pairs` made no groups."""
    path = workspace.pairs / "groups.parquet"
    if not path.exists():
        return []
    table = read_columns(path, ["row", "group"], "miner pairs --groups")
    rows, groups = table["row"].to_numpy(), table["group"].to_numpy()
    numbers, first, sizes = np.unique(groups, return_index=True, return_counts=True)
    largest = np.lexsort((first, -sizes))[:_GROUPS]
    return [rows[groups == number][:_MEMBERS].tolist() for number in numbers[largest] if (groups == number).sum() > 1]


def without_partner(pairs: pa.Table, images: int, searched: int) -> tuple[list[int], int]:
    """Rows of some images that are in no pair, drawn at random, the same ones at every call; and how many there are.

    Args:
        images, searched: of the workspace. If only some images were searched, nobody knows which have no partner: none are given.
    """
    if searched < images:
        return [], 0
    alone = np.ones(images, bool)
    alone[np.concatenate([pairs["a"].to_numpy(), pairs["b"].to_numpy()])] = False
    rows = np.flatnonzero(alone)
    return np.sort(np.random.default_rng(0).permutation(rows)[:_WITHOUT]).tolist(), len(rows)


def partners(pairs: pa.Table, rows: Iterable[int]) -> dict[int, tuple[int, list[tuple[int, float]]]]:
    """For each of some images that is in a pair, how many partners it has, and the most similar ones: row and cosine."""
    ends = np.concatenate([pairs["a"].to_numpy(), pairs["b"].to_numpy()])
    others = np.concatenate([pairs["b"].to_numpy(), pairs["a"].to_numpy()])
    cosines = np.tile(pairs["similarity"].to_numpy(), 2)
    order = np.lexsort((others, -cosines, ends))
    found = {}
    for row in sorted({*rows}):
        low, high = np.searchsorted(ends, [row, row + 1], sorter=order)
        best = order[low:high][:_PARTNERS]
        if high > low:
            found[row] = (int(high - low), [*zip(others[best].tolist(), cosines[best].tolist(), strict=True)])
    return found
