"""One block of vectors, as `miner embed` writes it: unit rows, the reasons of those that are left out, and metadata."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.embeddings.images import (
    ERROR_SCHEMA,
    METADATA_SCHEMA,
    EmbeddedImage,
    UnusableImage,
    table_of_rows,
)
from miner.artifacts.npy import save_array
from miner.artifacts.parquet import save_table
from miner.embed.decoding import inspected
from miner.embed.existing.files import ExistingVectors
from miner.images.resize import PixelSize
from miner.source import Entry, Source

_UNIT = 1e-3  # rows whose length is nearer to 1 keep their bytes: they were divided by it before they were rounded
_MOST_THREADS = 8


def unit_rows_of(rows: NDArray[np.floating], dtype: str) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Rows divided by their lengths, and which rows have a direction.

    Args:
        rows: (n, d), any floating type.
        dtype: of the result.
    Returns:
        Rows of `dtype` (n, d), and bool (n,): False for a row that is zero or not finite.
    """
    exact = rows.astype(np.float64)
    largest = np.abs(exact).max(axis=1, keepdims=True)
    usable = np.isfinite(largest[:, 0]) & (largest[:, 0] > 0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        scaled = exact / largest
        scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
        near = np.abs(np.linalg.norm(exact, axis=1) - 1) <= _UNIT
        return np.where(near[:, None], exact, scaled).astype(dtype), usable


@dataclass(frozen=True)
class VectorBlock:
    """The work of a unit: the vectors of the rows [start, stop), with their images or the metadata that stands for them.

    Attributes:
        images: of these rows, and their source; or their metadata.
        missing: images that have no vector, for the last block.
    """

    vectors: ExistingVectors
    dtype: str
    start: int
    stop: int
    images: tuple[Source, Sequence[Entry]] | pa.Table
    missing: Sequence[UnusableImage] = ()
    workers: int = 0

    def __call__(self, vectors_file: Path, errors_file: Path, metadata_file: Path) -> None:
        rows, usable = unit_rows_of(self.vectors.read(self.start, self.stop), self.dtype)
        if isinstance(self.images, pa.Table):
            metadata, errors = self._named(usable)
        else:
            source, entries = self.images
            metadata, errors = self._inspected(source, entries, usable)
        save_array(vectors_file, rows[usable])
        save_table(table_of_rows([*errors, *self.missing], ERROR_SCHEMA), errors_file)
        save_table(metadata, metadata_file)

    def _named(self, usable: NDArray[np.bool_]) -> tuple[pa.Table, list[UnusableImage]]:
        table: Any = self.images
        lost = table.filter(pa.array(~usable)).select(["key", "path"]).to_pylist()
        return table.filter(pa.array(usable)), [_without_direction(**row) for row in lost]

    def _inspected(
        self, source: Source, entries: Sequence[Entry], usable: NDArray[np.bool_]
    ) -> tuple[pa.Table, list[UnusableImage]]:
        """Images that cannot be used are taken out of `usable`."""
        with ThreadPoolExecutor(self.workers or min(os.cpu_count() or 1, _MOST_THREADS), "inspect") as pool:
            images = list(pool.map(partial(inspected, source, needed=_smallest), entries))
        errors: list[UnusableImage] = []
        good: list[EmbeddedImage] = []
        for row, image in enumerate(images):
            if isinstance(image, UnusableImage):
                errors.append(image)
            elif usable[row]:
                good.append(image)
            else:
                errors.append(_without_direction(image.key, image.path))
            usable[row] &= isinstance(image, EmbeddedImage)
        return table_of_rows(good, METADATA_SCHEMA), errors


def _smallest(size: PixelSize) -> PixelSize:
    return 1, 1


def _without_direction(key: str, path: str) -> UnusableImage:
    return UnusableImage(key, path, "zero or non-finite vector")
