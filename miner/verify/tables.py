"""Embeddings and pair tables: do they hold what their manifests say?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from miner.artifacts.embeddings.images import METADATA_SCHEMA
from miner.artifacts.embeddings.store import check_vectors, metadata_path, vectors_path
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.table import one_order
from miner.engine.records import fingerprint
from miner.errors import MinerError
from miner.source.keys import is_clean
from miner.verify.checksums import Folder
from miner.verify.location import Place

SAMPLED_PAIRS = 2000
_UNIT_TOLERANCE = 4e-3  # float16 components
_SIMILARITY_TOLERANCE = 1e-6
_NOWHERE = Path()


@dataclass
class Embeddings:
    """Finished embeddings that pairs may belong to.

    Attributes:
        identity: fingerprint of their files, as other stages note it.
        metadata: one row per vector.
        blocks: vectors, [n, d] each, mapped from disk, in row order.
    """

    identity: str
    metadata: pa.Table
    blocks: Sequence[NDArray[np.floating]]

    def rows_of(self, keys: pa.ChunkedArray) -> NDArray[np.int64]:
        """Row of each key, -1 where there is none."""
        import pyarrow.compute as pc

        rows = pc.index_in(keys, value_set=self.metadata["key"].combine_chunks())
        return np.asarray(rows.fill_null(-1).to_numpy(), np.int64)

    def cosines(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cosines of rows of vectors in float64."""
        one, other = self._vectors(a), self._vectors(b)
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        return np.asarray(np.einsum("nd,nd->n", one, other) / lengths, np.float64)

    def _vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        starts = np.cumsum([0, *(len(block) for block in self.blocks)])
        number = np.searchsorted(starts, rows, side="right") - 1
        chosen = [self.blocks[n][row - starts[n]] for n, row in zip(number, rows, strict=True)]
        return np.asarray(chosen, np.float64)


def check_embeddings(place: Place, folder: Folder) -> Embeddings:
    """Shapes, types, counts, unit rows and unique keys.

    Raises:
        MinerError: something does not fit.
    """
    manifest = folder.manifest
    tables, blocks = [], []
    for number in range(manifest["blocks"]):
        vectors, metadata = (folder.path + make(_NOWHERE, number).as_posix() for make in (vectors_path, metadata_path))
        block = _load(place, vectors)
        table = _read(place, metadata, METADATA_SCHEMA)
        if block.ndim != 2 or block.dtype.name != manifest["dtype"] or block.shape[1] != manifest["dim"]:
            raise MinerError(
                f"{place.name(vectors)} holds {block.dtype} {block.shape}, where the manifest says {manifest['dtype']} "
                f"(n, {manifest['dim']})."
            )
        if len(block) != len(table):
            raise MinerError(f"{place.name(metadata)} has {len(table)} rows for {len(block)} vectors.")
        check_vectors(block, place.name(vectors))
        for start in range(0, len(block), 8192):
            lengths = np.linalg.norm(block[start : start + 8192].astype(np.float32), axis=1)
            if np.abs(lengths - 1).max(initial=0) > _UNIT_TOLERANCE:
                row = start + int(np.abs(lengths - 1).argmax())
                raise MinerError(f"{place.name(vectors)}: row {row} has length {lengths[row - start]:.4f}, not 1.")
        tables.append(table)
        blocks.append(block)
    metadata_table = pa.concat_tables(tables)
    where = place.name(folder.path.rstrip("/"))
    _same(where, "vectors", len(metadata_table), manifest["count"])
    check_keys(where, metadata_table["key"].to_pylist())
    return Embeddings(fingerprint(manifest["files"]), metadata_table, blocks)


def check_pairs(place: Place, folder: Folder, embeddings: Embeddings | None) -> int:
    """Order, band, counts, and keys of both pair tables; a sample of similarities is computed again.

    Args:
        place: that holds the folder.
        folder: of the stage.
        embeddings: that the pairs were mined from, if they are there.
    Returns:
        How many similarities were computed again.
    Raises:
        MinerError: something does not fit.
    """
    manifest = folder.manifest
    band = Band.from_record(manifest["request"]["band"])
    low, high = np.float32(band.low), np.float32(band.high)
    checked = 0
    for name, count in (("pairs.parquet", "pairs"), ("duplicates.parquet", "duplicates")):
        if name not in manifest["files"]:
            continue
        path = folder.path + name
        where, table = place.name(path), _read(place, path)
        if count == "pairs" and manifest.get("both_orders"):
            table = _one_of_both_orders(where, table)
        _same(where, "pairs", len(table), manifest[count])
        a, b = (_column(table, side, where).astype(np.int64) for side in ("a", "b"))
        similarity = _column(table, "similarity", where).astype(np.float32)
        _check_order(where, a, b)
        ceiling = high if count == "pairs" else np.float32(np.inf)
        outside = np.flatnonzero(~((similarity >= low) & (similarity <= ceiling)))
        if len(outside):
            row = outside[0]
            raise MinerError(
                f"{where}: row {row} has the similarity {similarity[row]}, outside the band [{band.low}, {band.high}]."
            )
        if embeddings is not None:
            for side, rows in (("a", a), ("b", b)):
                _check_row_keys(where, f"key_{side}", rows, table[f"key_{side}"], embeddings)
            checked += check_similarities(where, a, b, similarity, embeddings)
    if "knn_ids.npy" in manifest["files"]:
        checked += _check_neighbours(place, folder, embeddings)
    if "groups.parquet" in manifest["files"]:
        _check_groups(place, folder, embeddings)
    return checked


def _check_neighbours(place: Place, folder: Folder, embeddings: Embeddings | None) -> int:
    """Shapes, order and ids of the neighbour graph; returns how many similarities were computed again."""
    names = [folder.path + name for name in ("knn_ids.npy", "knn_sims.npy")]
    ids, similarities = (_load(place, name) for name in names)
    k = folder.manifest["request"]["neighbors"]
    if ids.ndim != 2 or ids.shape != similarities.shape or ids.shape[1] != k:
        raise MinerError(f"{place.name(names[0])} is no table of {k} neighbours: {ids.shape}, {similarities.shape}.")
    for start in range(0, len(ids), 8192):
        some, values = ids[start : start + 8192], similarities[start : start + 8192]
        rows = np.arange(start, start + len(some))[:, None]
        wrong = (some < 0) | (some >= len(ids)) | (some == rows)
        wrong[:, 1:] |= (values[:, 1:] > values[:, :-1]) | (np.diff(np.sort(some, axis=1), axis=1) == 0)
        if len(bad := np.flatnonzero(wrong.any(axis=1))):
            raise MinerError(
                f"{place.name(names[0])}: the neighbours of row {start + bad[0]} are not others in falling order."
            )
    if embeddings is None:
        return 0
    rows = np.sort(np.random.default_rng(0).permutation(len(ids))[: max(1, SAMPLED_PAIRS // k)])
    chosen, values = np.asarray(ids[rows], np.int64).ravel(), np.asarray(similarities[rows], np.float32).ravel()
    return check_similarities(place.name(names[1]), np.repeat(rows, k), chosen, values, embeddings)


def _check_groups(place: Place, folder: Folder, embeddings: Embeddings | None) -> None:
    """Every row once, under its key, in a group that has as many rows as it says."""
    where, table = place.name(folder.path + "groups.parquet"), _read(place, folder.path + "groups.parquet")
    rows, group, size = (_column(table, name, where).astype(np.int64) for name in ("row", "group", "size"))
    if (np.diff(rows) <= 0).any():
        raise MinerError(f"{where}: its rows are not in order.")
    if len(wrong := np.flatnonzero(np.bincount(group, minlength=1)[group] != size)):
        raise MinerError(f"{where}: row {wrong[0]} is in a group of another size than it says.")
    if embeddings is not None:
        _check_row_keys(where, "key", rows, table["key"], embeddings)


def check_similarities(
    where: str,
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    similarity: NDArray[np.float32],
    embeddings: Embeddings,
) -> int:
    """Compute the similarity of some pairs again, from the stored vectors; returns of how many.

    Raises:
        MinerError: one differs.
    """
    chosen = np.sort(np.random.default_rng(0).permutation(len(a))[:SAMPLED_PAIRS])
    if not len(chosen):
        return 0
    found = embeddings.cosines(a[chosen], b[chosen])
    wrong = np.flatnonzero(~(np.abs(found - similarity[chosen]) <= _SIMILARITY_TOLERANCE))
    if len(wrong):
        row = chosen[wrong[0]]
        raise MinerError(
            f"{where}: row {row} has the similarity {similarity[row]:.7f}, but its vectors have {found[wrong[0]]:.7f}."
        )
    return len(chosen)


def check_keys(where: str, keys: Sequence[str]) -> None:
    """Keys are clean, and unique.

    Raises:
        MinerError: one is not.
    """
    if len(set(keys)) != len(keys):
        seen: set[str] = set()
        twice = next(key for key in keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise MinerError(f"{where}: the key {twice} occurs twice.")
    if (unclean := next((key for key in keys if not is_clean(key)), None)) is not None:
        raise MinerError(f"{where}: {unclean!r} is no key (at most 64 characters from A-Z a-z 0-9 _ -).")


def read_table(place: Place, path: str, columns: Sequence[str]) -> pa.Table:
    """A Parquet file with at least these columns.

    Raises:
        MinerError: it cannot be read, or lacks one.
    """
    table = _read(place, path)
    if missing := [name for name in columns if name not in table.column_names]:
        raise MinerError(f"{place.name(path)} has no column {missing[0]}.")
    return table


def _one_of_both_orders(where: str, table: pa.Table) -> pa.Table:
    """The rows with a < b, once it is known that the others are the same pairs turned around."""
    a, b = (_column(table, side, where).astype(np.int64) for side in ("a", "b"))
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
    if len(turned := np.flatnonzero(~((a >= 0) & (a < b)))):
        row = turned[0]
        raise MinerError(f"{where}: row {row} pairs {a[row]} with {b[row]}, where a < b should hold.")
    behind = (a[1:] < a[:-1]) | ((a[1:] == a[:-1]) & (b[1:] <= b[:-1]))
    if len(unsorted := np.flatnonzero(behind)):
        raise MinerError(f"{where}: row {unsorted[0] + 1} does not come after the row before it by (a, b).")


def _check_row_keys(
    where: str, column: str, rows: NDArray[np.int64], keys: pa.ChunkedArray, embeddings: Embeddings
) -> None:
    if len(rows) and rows.max() >= len(embeddings.metadata):
        raise MinerError(f"{where} names the row {rows.max()}, but there are {len(embeddings.metadata)} images.")
    if len(wrong := np.flatnonzero(embeddings.rows_of(keys) != rows)):
        raise MinerError(f"{where}: row {wrong[0]} calls image {rows[wrong[0]]} by another key in {column}.")


def _same(where: str, what: str, found: int, expected: int) -> None:
    if found != expected:
        raise MinerError(f"{where} holds {found:,} {what}, where the manifest says {expected:,}.")


def _column(table: pa.Table, name: str, where: str) -> NDArray[np.generic]:
    if name not in table.column_names or table[name].null_count:
        raise MinerError(f"{where} has no column {name}, or gaps in it.")
    column: NDArray[np.generic] = table[name].to_numpy()
    return column


def _read(place: Place, path: str, schema: pa.Schema | None = None) -> pa.Table:
    try:
        return pq.read_table(place.fetch(path), schema=schema, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:160]
        raise MinerError(f"{place.name(path)} is no readable Parquet file ({reason}).") from error


def _load(place: Place, path: str) -> NDArray[np.floating]:
    try:
        array: NDArray[np.floating] = np.load(place.fetch(path), mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise MinerError(f"{place.name(path)} is no readable array ({error}).") from error
    return array
