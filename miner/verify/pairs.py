"""Pair tables, neighbour lists and groups: do they hold what their manifest says?"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.pairs.against import MATCHES
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.table import one_order
from miner.errors import MinerError
from miner.text import counted
from miner.verify.embeddings import SAMPLED_PAIRS, VerifiedEmbeddings
from miner.verify.reading import check_count, column, read_array, read_table
from miner.verify.survey import Folder

_ROWS = 8192


def check_pairs(folder: Folder, embeddings: VerifiedEmbeddings | None) -> int:
    """Check every table of the stage; returns how many similarities were computed again, from the embeddings if they are there.

    Raises:
        MinerError: something does not fit.
    """
    files, request = folder.manifest["files"], folder.manifest["request"]
    band = Band.from_record(request["band"])
    if "agree" in request:  # other embeddings may have chosen a pair
        band = Band(-1.0, band.high)
    checked = 0
    for count, cosines in (("pairs", band), ("duplicates", Band(band.low, np.inf))):
        if f"{count}.parquet" in files:
            checked += _check_pair_table(folder, count, cosines, embeddings)
    if "knn_ids.npy" in files:
        checked += _check_neighbours(folder, embeddings)
    if "lists.npy" in files:
        _check_lists(folder)
    if "groups.parquet" in files:
        _check_groups(folder, embeddings)
    return checked


def check_matches(folder: Folder, here: VerifiedEmbeddings | None, there: VerifiedEmbeddings | None) -> int:
    """Check a table of pairs between two sets; returns how many similarities were computed again, where both sets are there.

    Raises:
        MinerError: something does not fit.
    """
    where, table = folder.full_path(MATCHES), read_table(folder, MATCHES)
    check_count(where, "pairs", len(table), folder.manifest["pairs"])
    a, b = (column(table, side, where).astype(np.int64) for side in ("a", "b"))
    if len(negative := np.flatnonzero((a < 0) | (b < 0))):
        raise MinerError(f"{where}: row {negative[0]} names a row below 0.")
    _check_sorted(where, a, b)
    similarity = _checked_similarities(where, table, Band.from_record(folder.manifest["request"]["band"]))
    for embeddings, side, rows in ((here, "key_a", a), (there, "key_b", b)):
        if embeddings is not None:
            embeddings.check_rows(where, side, rows, table[side])
    return 0 if here is None or there is None else here.check_similarities(where, a, b, similarity, there)


def _check_pair_table(folder: Folder, count: str, band: Band, embeddings: VerifiedEmbeddings | None) -> int:
    """Order, band, count and keys of one table; returns how many similarities were computed again."""
    name = f"{count}.parquet"
    where, table = folder.full_path(name), read_table(folder, name)
    if count == "pairs" and folder.manifest.get("both_orders"):
        table = _one_of_both_orders(where, table)
    check_count(where, "pairs", len(table), folder.manifest[count])
    a, b = (column(table, side, where).astype(np.int64) for side in ("a", "b"))
    _check_order(where, a, b)
    similarity = _checked_similarities(where, table, band)
    if embeddings is None:
        return 0
    for side, rows in (("key_a", a), ("key_b", b)):
        embeddings.check_rows(where, side, rows, table[side])
    return embeddings.check_similarities(where, a, b, similarity)


def _checked_similarities(where: str, table: pa.Table, band: Band) -> NDArray[np.float32]:
    """The similarities of a table, which lie in the band."""
    similarity = column(table, "similarity", where).astype(np.float32)
    low, high = np.float32(band.low), np.float32(band.high)
    if len(outside := np.flatnonzero(~((similarity >= low) & (similarity <= high)))):
        row = outside[0]
        raise MinerError(f"{where}: row {row} has the similarity {similarity[row]}, outside the band {band}.")
    return similarity


def _check_neighbours(folder: Folder, embeddings: VerifiedEmbeddings | None) -> int:
    """Shapes, order and ids of the neighbour graph; returns how many similarities were computed again."""
    ids, similarities = (read_array(folder, name) for name in ("knn_ids.npy", "knn_sims.npy"))
    where, k = folder.full_path("knn_ids.npy"), folder.manifest["request"]["neighbors"]
    if ids.ndim != 2 or ids.shape != similarities.shape or ids.shape[1] != k:
        raise MinerError(f"{where} is no table of {counted(k, 'neighbour')}: {ids.shape}, {similarities.shape}.")
    for start in range(0, len(ids), _ROWS):
        some, values = ids[start : start + _ROWS], similarities[start : start + _ROWS]
        rows = np.arange(start, start + len(some))[:, None]
        wrong = (some < 0) | (some >= len(ids)) | (some == rows)
        wrong[:, 1:] |= (values[:, 1:] > values[:, :-1]) | (np.diff(np.sort(some, axis=1), axis=1) == 0)
        if len(bad := np.flatnonzero(wrong.any(axis=1))):
            raise MinerError(f"{where}: the neighbours of row {start + bad[0]} are not others in falling order.")
    if embeddings is None:
        return 0
    rows = np.sort(np.random.default_rng(0).permutation(len(ids))[: max(1, SAMPLED_PAIRS // k)])
    chosen, values = np.asarray(ids[rows], np.int64).ravel(), np.asarray(similarities[rows], np.float32).ravel()
    return embeddings.check_similarities(folder.full_path("knn_sims.npy"), np.repeat(rows, k), chosen, values)


def _check_lists(folder: Folder) -> None:
    """Every list holds different others, and nobody only at its end."""
    ids, where = read_array(folder, "lists.npy"), folder.full_path("lists.npy")
    if ids.ndim != 2 or len(ids) != folder.manifest["images"]:
        raise MinerError(f"{where} holds no list for each image: {ids.shape}.")
    for start in range(0, len(ids), _ROWS):
        some = ids[start : start + _ROWS]
        wrong = (some < -1) | (some >= len(ids)) | (some == np.arange(start, start + len(some))[:, None])
        ordered = np.sort(some, axis=1)
        wrong[:, 1:] |= (np.diff(ordered, axis=1) == 0) & (ordered[:, 1:] >= 0) | (some[:, 1:] >= 0) & (
            some[:, :-1] < 0
        )
        if len(bad := np.flatnonzero(wrong.any(axis=1))):
            raise MinerError(f"{where}: the list of row {start + bad[0]} holds no different others.")


def _check_groups(folder: Folder, embeddings: VerifiedEmbeddings | None) -> None:
    """Every row once, under its key, in a group that has as many rows as it says."""
    where, table = folder.full_path("groups.parquet"), read_table(folder, "groups.parquet")
    rows, group, size = (column(table, name, where).astype(np.int64) for name in ("row", "group", "size"))
    if (np.diff(rows) <= 0).any():
        raise MinerError(f"{where}: its rows are not in order.")
    _, places, sizes = np.unique(group, return_inverse=True, return_counts=True)
    if len(wrong := np.flatnonzero(sizes[places] != size)):
        raise MinerError(f"{where}: row {wrong[0]} is in a group of another size than it says.")
    if embeddings is not None:
        embeddings.check_rows(where, "key", rows, table["key"])


def _one_of_both_orders(where: str, table: pa.Table) -> pa.Table:
    """The rows with a < b, once it is known that the others are the same pairs turned around."""
    a, b = (column(table, side, where).astype(np.int64) for side in ("a", "b"))
    order = np.lexsort((a, b))
    if (np.lexsort((b, a)) != np.arange(len(a))).any() or (a[order] != b).any() or (b[order] != a).any():
        raise MinerError(f"{where} does not hold every pair as (a, b) and as (b, a), in order.")
    turned = table.take(pa.array(order))
    for name in ("key", "label"):
        if not table[f"{name}_a"].equals(turned[f"{name}_b"]):
            raise MinerError(f"{where} holds pairs whose {name}s differ between their two orders.")
    if not table["similarity"].equals(turned["similarity"]):
        raise MinerError(f"{where} holds pairs whose similarities differ between their two orders.")
    return one_order(table)


def _check_order(where: str, a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
    """Refuse pairs that are not a < b, or not sorted by (a, b)."""
    if len(turned := np.flatnonzero(~((a >= 0) & (a < b)))):
        row = turned[0]
        raise MinerError(f"{where}: row {row} pairs {a[row]} with {b[row]}, where a < b should hold.")
    _check_sorted(where, a, b)


def _check_sorted(where: str, a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
    behind = (a[1:] < a[:-1]) | ((a[1:] == a[:-1]) & (b[1:] <= b[:-1]))
    if len(unsorted := np.flatnonzero(behind)):
        raise MinerError(f"{where}: row {unsorted[0] + 1} does not come after the row before it by (a, b).")
