"""Embeddings: do they hold what their manifest says? Other stages are compared with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from miner.artifacts.embeddings.images import METADATA_SCHEMA
from miner.artifacts.embeddings.store import check_vectors, metadata_path, vectors_path
from miner.engine import fingerprint
from miner.errors import MinerError
from miner.text import counted
from miner.verify.reading import check_count, check_keys, read_array, read_table
from miner.verify.survey import Folder

SAMPLED_PAIRS = 2000
_ROWS = 8192
_UNIT_TOLERANCE = 4e-3  # float16 components
_SIMILARITY_TOLERANCE = 1e-6


@dataclass
class VerifiedEmbeddings:
    """Whole embeddings: their identity in other stages, a row of metadata per vector, and blocks of vectors [n, d] in row order."""

    identity: str
    metadata: pa.Table
    blocks: Sequence[NDArray[np.floating]]

    def rows_of(self, keys: pa.ChunkedArray) -> NDArray[np.int64]:
        """Row of each key, -1 where there is none."""
        rows = pc.index_in(keys, value_set=self.metadata["key"].combine_chunks())
        return np.asarray(rows.fill_null(-1).to_numpy(), np.int64)

    def check_rows(self, where: str, column: str, rows: NDArray[np.int64], keys: pa.ChunkedArray) -> None:
        """Refuse rows that do not exist, or that a table calls by other keys than the embeddings do."""
        if len(rows) and rows.max() >= len(self.metadata):
            raise MinerError(
                f"{where} names the row {rows.max()}, but there are {counted(len(self.metadata), 'image')}."
            )
        if len(wrong := np.flatnonzero(self.rows_of(keys) != rows)):
            raise MinerError(f"{where}: row {wrong[0]} calls image {rows[wrong[0]]} by another key in {column}.")

    def check_similarities(
        self,
        where: str,
        a: NDArray[np.int64],
        b: NDArray[np.int64],
        similarity: NDArray[np.float32],
        of_b: "VerifiedEmbeddings | None" = None,
    ) -> int:
        """Compute the similarity of some pairs again from the stored vectors, and refuse another; returns of how many.

        Args:
            of_b: the embeddings that b are rows of, if they are others than those of a.
        """
        chosen = np.sort(np.random.default_rng(0).permutation(len(a))[:SAMPLED_PAIRS])
        if not len(chosen):
            return 0
        one, other = self._vectors(a[chosen]), (of_b or self)._vectors(b[chosen])
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        found = np.einsum("nd,nd->n", one, other) / lengths
        wrong = np.flatnonzero(~(np.abs(found - similarity[chosen]) <= _SIMILARITY_TOLERANCE))
        if len(wrong):
            row = chosen[wrong[0]]
            raise MinerError(
                f"{where}: row {row} has the similarity {similarity[row]:.7f}, but its vectors have {found[wrong[0]]:.7f}."
            )
        return len(chosen)

    def _vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        starts = np.cumsum([0, *(len(block) for block in self.blocks)])
        number = np.searchsorted(starts, rows, side="right") - 1
        chosen = [self.blocks[n][row - starts[n]] for n, row in zip(number, rows, strict=True)]
        return np.asarray(chosen, np.float64)


def check_embeddings(folder: Folder) -> VerifiedEmbeddings:
    """Shapes, types, counts, unit rows and unique keys.

    Raises:
        MinerError: something does not fit.
    """
    manifest = folder.manifest
    parts = [_check_block(folder, number) for number in range(manifest["blocks"])]
    metadata = pa.concat_tables([table for _, table in parts])
    where = folder.full_path()
    check_count(where, "vectors", len(metadata), manifest["count"])
    check_keys(where, metadata["key"].to_pylist())
    return VerifiedEmbeddings(fingerprint(manifest["files"]), metadata, [block for block, _ in parts])


def _check_block(folder: Folder, number: int) -> tuple[NDArray[np.floating], pa.Table]:
    """The vectors of a block, and one row of metadata for each."""
    vectors, metadata = (make(Path(), number).as_posix() for make in (vectors_path, metadata_path))
    block, table = read_array(folder, vectors), read_table(folder, metadata, schema=METADATA_SCHEMA)
    where, dtype, dim = folder.full_path(vectors), folder.manifest["dtype"], folder.manifest["dim"]
    if block.ndim != 2 or block.dtype.name != dtype or block.shape[1] != dim:
        raise MinerError(f"{where} holds {block.dtype} {block.shape}, where the manifest says {dtype} (n, {dim}).")
    if len(block) != len(table):
        raise MinerError(
            f"{folder.full_path(metadata)} has {counted(len(table), 'row')} for {counted(len(block), 'vector')}."
        )
    check_vectors(block, where)
    for start in range(0, len(block), _ROWS):
        lengths = np.linalg.norm(block[start : start + _ROWS].astype(np.float32), axis=1)
        if np.abs(lengths - 1).max(initial=0) > _UNIT_TOLERANCE:
            row = int(np.abs(lengths - 1).argmax())
            raise MinerError(f"{where}: row {start + row} has length {lengths[row]:.4f}, not 1.")
    return block, table
