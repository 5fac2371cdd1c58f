"""The embedding store on disk: numbered blocks of vectors, and a metadata table beside each, line by line.

img_emb/img_emb_00000.npy             [n, d] float16 or float32, unit rows
metadata/metadata_00000.parquet       one row per vector
errors.parquet                        every image that could not be used, with the reason
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.embeddings.images import METADATA_SCHEMA
from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.vectors import FileVectors, VectorFile, blocks
from miner.artifacts.parquet import read_columns
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.text import counted

# By dtype: the bits that are all set in infinities and NaN, and the bits that are all clear in zero. Testing bits is fast.
_EXPONENT_BITS = {
    "float16": (np.uint16(0x7C00), np.uint16(0x7FFF)),
    "float32": (np.uint32(0x7F800000), np.uint32(0x7FFFFFFF)),
}


def vectors_path(folder: Path, block: int) -> Path:
    return folder / "img_emb" / f"img_emb_{block:05d}.npy"


def metadata_path(folder: Path, block: int) -> Path:
    return folder / "metadata" / f"metadata_{block:05d}.parquet"


def error_part_path(folder: Path, block: int) -> Path:
    return folder / "errors" / f"errors_{block:05d}.parquet"


class EmbeddingStore:
    """A finished `embeddings/` folder. Opening checks the shapes, loading checks the numbers.

    Attributes:
        metadata: one row per vector, columns of `METADATA_SCHEMA`.
        stored: the vectors on disk, in row order.

    Raises:
        MinerError: the stage has not finished, a file is missing, or files do not fit each other.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.folder = workspace.embeddings
        self.manifest = EmbeddingsManifest.read(workspace)
        self.metadata = read_metadata(self.folder, self.manifest.blocks)
        files = tuple(self._file(vectors_path(self.folder, block)) for block in range(self.manifest.blocks))
        self.stored = FileVectors(files, self.manifest.dim, np.dtype(self.manifest.dtype))
        if len(self.stored) != self.metadata.num_rows or len(self.stored) != self.manifest.count:
            raise MinerError(
                f"{self.folder} is damaged: {counted(len(self.stored), 'vector')}, "
                f"{counted(self.metadata.num_rows, 'metadata row')}, and "
                f"{self.manifest.count} in the manifest. Run `miner verify {self.folder}`, or embed again with --force."
            )

    @cached_property
    def vectors(self) -> NDArray[np.floating]:
        """[n, d] of the stored dtype, in row order, in memory.

        Raises:
            MinerError: a row is zero or not finite.
        """
        vectors = self.stored.read(0, len(self.stored))
        check_vectors(vectors, str(self.folder))
        return vectors

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def keys(self) -> Sequence[str]:
        return self.metadata["key"].to_pylist()  # type: ignore[no-any-return]

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Label per row, -1 where it is unknown; None when no row has one."""
        column = self.metadata["label"]
        if column.null_count == len(column):
            return None
        return np.asarray(column.fill_null(-1).to_numpy(), np.int64)

    def _file(self, path: Path) -> VectorFile:
        try:
            block = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            raise MinerError(f"{path} is missing or damaged ({error}). Embed again with --force.") from error
        if block.ndim != 2 or block.dtype.name != self.manifest.dtype or block.shape[1] != self.manifest.dim:
            raise MinerError(
                f"{path} holds {block.dtype} {block.shape}, where the manifest says {self.manifest.dtype} "
                f"(n, {self.manifest.dim}). Embed again with --force."
            )
        return VectorFile(path, len(block), block.offset)


def read_metadata(folder: Path, blocks: int) -> pa.Table:
    """The metadata of all vectors, in row order: columns of `METADATA_SCHEMA`.

    Raises:
        MinerError: a file is missing or damaged.
    """
    paths = [metadata_path(folder, block) for block in range(blocks)]
    command = EmbeddingsManifest.command
    return pa.concat_tables([read_columns(path, METADATA_SCHEMA.names, command, METADATA_SCHEMA) for path in paths])


def check_vectors(vectors: NDArray[np.floating], where: str) -> None:
    """Refuse vectors that have no direction.

    Raises:
        MinerError: a row is zero or not finite; the message gives its number.
    """
    infinite, anything = _EXPONENT_BITS[vectors.dtype.name]
    bits = vectors.view(f"u{vectors.dtype.itemsize}")
    usable = np.empty(len(vectors), bool)
    for start, stop in blocks(len(vectors), 8192):
        rows = bits[start:stop]
        usable[start:stop] = ((rows & infinite) != infinite).all(axis=1) & ((rows & anything) != 0).any(axis=1)
    bad = np.flatnonzero(~usable)
    if len(bad):
        raise MinerError(
            f"{where} holds {counted(len(bad), 'vector that is', 'vectors that are')} zero or not finite (the first "
            f"is row {bad[0]}). Embed again with --force."
        )
