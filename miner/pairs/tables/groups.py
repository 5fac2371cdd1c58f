"""Groups of similar images: connected components of the pairs, and groups by complete linkage inside the components."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.pairs.table import label_column

GROUP_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("key", pa.string()),
        ("label", pa.int32()),
        ("component", pa.int64()),
        ("group", pa.int64()),
        ("size", pa.int64()),
        ("lowest", pa.float32()),
    ]
)


@dataclass(frozen=True)
class Groups:
    """The component and the group of every image that is in a pair.

    Attributes:
        rows: row numbers of these images, ascending, int64 (m,).
        component, group: number of the connected component and of the complete-link group of each image, int64 (m,); both are
            numbered by their first row.
        lowest: lowest similarity of two images of the same group, float64 (m,); NaN where the group has one image.
    """

    rows: Rows
    component: Rows
    group: Rows
    lowest: NDArray[np.float64]

    def sizes(self) -> Rows:
        """Number of images in the group of each image, int64 (m,)."""
        return np.asarray(np.bincount(self.group)[self.group], np.int64)

    def table(self, keys: Sequence[str], labels: NDArray[np.int64] | None) -> pa.Table:
        """The published table, `GROUP_SCHEMA`."""
        columns = {
            "row": self.rows,
            "key": pa.array(keys, pa.string()).take(pa.array(self.rows)),
            "label": label_column(labels, self.rows),
            "component": self.component,
            "group": self.group,
            "size": self.sizes(),
            "lowest": pa.array(self.lowest.astype(np.float32), mask=np.isnan(self.lowest)),
        }
        return pa.table(columns, schema=GROUP_SCHEMA)


def find_groups(a: Rows, b: Rows, similarity: NDArray[np.float64]) -> Groups:
    """Components and complete-link groups of the pairs at or above a similarity.

    Complete linkage joins two groups at the lowest similarity of any two of their images, the most similar groups first. The
    list must hold every pair at or above some similarity. The groups are then those of complete linkage cut at that similarity:
    two groups may join only if all pairs across them are in the list. Equal similarities are ordered by a XOR b, so that many
    copies of one image join in few rounds.

    Args:
        a, b: row numbers, a < b, each pair once, int64 (pairs,).
        similarity: float64 (pairs,).
    """
    rows, ends = np.unique(np.concatenate([a, b]), return_inverse=True)
    left, right = ends[: len(a)].astype(np.int64), ends[len(a) :].astype(np.int64)
    order = np.lexsort((a, a ^ b, -similarity))
    group, last = _complete_linkage(left[order], right[order], len(rows))
    lowest = np.where(last >= 0, similarity[order][last], np.nan) if len(order) else np.empty(0)
    return Groups(rows, _numbered(components(left, right, len(rows))), _numbered(group), lowest)


def group_statistics(groups: Groups, pairs: int, labels: NDArray[np.int64] | None) -> dict[str, Any]:
    """Number, sizes and label purity of components and groups.

    Args:
        pairs: number of pairs that the groups were found in.
        labels: the labels of all images, -1 where unknown, or None.
    """
    known = None if labels is None else labels[groups.rows]
    several = groups.sizes() > 1
    complete = _summary(groups.group[several], None if known is None else known[several])
    lowest = float(groups.lowest[several].min()) if several.any() else None
    components = _summary(groups.component, known)
    return {"pairs": pairs, "components": components, "complete_link": {**complete, "lowest": lowest}}


def cluster_purity(group: Rows, labels: NDArray[np.int64]) -> float | None:
    """Share of the labelled images that have the most frequent label of their group; None without labels."""
    group, labels = group[labels >= 0], labels[labels >= 0]
    if not len(labels):
        return None
    classes = int(labels.max()) + 1
    members, counts = np.unique(group * classes + labels, return_counts=True)
    most_frequent = np.zeros(int(group.max()) + 1, np.int64)
    np.maximum.at(most_frequent, members // classes, counts)
    return float(most_frequent.sum() / len(labels))


def _summary(group: Rows, labels: NDArray[np.int64] | None) -> dict[str, Any]:
    sizes = np.unique(group, return_counts=True)[1]
    values, counts = np.unique(sizes, return_counts=True)
    return {
        "number": len(sizes),
        "images": len(group),
        "largest": int(sizes.max(initial=0)),
        "sizes": {"images": values.tolist(), "groups": counts.tolist()},
        "purity": None if labels is None else cluster_purity(group, labels),
    }


def components(left: Rows, right: Rows, count: int) -> Rows:
    """The connected component of each item, as its lowest member; each edge sets the higher of two roots to the lower root."""
    root = np.arange(count)
    while len(left):
        np.minimum.at(root, np.maximum(left, right), np.minimum(left, right))
        while (root != root[root]).any():
            root = root[root]
        left, right = root[left], root[right]
        left, right = left[left != right], right[left != right]
    return root


def _numbered(group: NDArray[np.integer]) -> Rows:
    """The groups numbered in the order of their first member."""
    _, starts, inverse = np.unique(group, return_index=True, return_inverse=True)
    numbers = np.empty(len(starts), np.int64)
    numbers[np.argsort(starts)] = np.arange(len(starts))
    return numbers[inverse]


def _complete_linkage(left: Rows, right: Rows, count: int) -> tuple[Rows, Rows]:
    """Complete linkage of `count` items, whose pairs are listed from the closest on; items of other pairs never join.

    An edge of two groups stands for all pairs across them. Its length is the number of the last of these pairs in the list.
    Two groups with an unlisted pair never have an edge. Each round contracts all edges that are the shortest edge of both
    their groups. Complete linkage is reducible, so the order does not matter (Murtagh, The Computer Journal 26, 1983).

    Returns:
        The group of each item, as the number of one of its members; and the number of the last pair inside its group, -1 for
        a single item.
    """
    group, last = np.arange(count), np.full(count, -1, np.int64)
    length = np.arange(len(left), dtype=np.int64)
    while len(left):
        shortest = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(shortest, left, length)
        np.minimum.at(shortest, right, length)
        join = (length == shortest[left]) & (length == shortest[right])
        parts = np.ones(count, np.int64)
        parts[left[join]] = 2
        target = np.arange(count)
        target[right[join]] = left[join]
        last[left[join]] = length[join]
        group = target[group]
        left, right, length = _contracted(target[left[~join]], target[right[~join]], length[~join], parts)
    return group, last[group]


def _contracted(left: Rows, right: Rows, length: Rows, parts: Rows) -> tuple[Rows, Rows, Rows]:
    """Edges after a round: the edges between the same two groups become one edge, if all pairs of their parts have an edge."""
    low, high = np.minimum(left, right), np.maximum(left, right)
    touched = (parts[low] > 1) | (parts[high] > 1)
    keys = low[touched] * np.int64(len(parts)) + high[touched]
    order = np.argsort(keys, kind="stable")
    keys, lengths = keys[order], length[touched][order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    new_low, new_high = np.divmod(keys[starts], len(parts))
    longest = np.maximum.reduceat(lengths, starts) if len(starts) else lengths
    whole = np.diff(starts, append=len(keys)) == parts[new_low] * parts[new_high]
    columns = ((low, new_low), (high, new_high), (length, longest))
    left, right, length = (np.concatenate([old[~touched], new[whole]]) for old, new in columns)
    return left, right, length
