"""What is finished of a block of images: kept in files until the block is whole, so that an interruption loses seconds.

A part holds images that follow each other, in three files as a block has. The bytes of a block do not depend on its parts.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.embeddings.images import (
    ERROR_SCHEMA,
    METADATA_SCHEMA,
    EmbeddedImage,
    UnusableImage,
    embedded_images,
    table_of_rows,
)
from miner.artifacts.embeddings.manifest import PARTS
from miner.artifacts.npy import save_array
from miner.artifacts.parquet import count_rows, load_table, save_table
from miner.engine import Unit

LONGEST_S = 30.0  # of work in a part
_DAMAGE = (OSError, ValueError, EOFError, pa.ArrowException)


@dataclass
class EncodedImages:
    """Images that follow each other: the usable ones as rows with vectors, arrays of float (n, dim), and the unusable ones."""

    rows: list[EmbeddedImage] = field(default_factory=list)
    errors: list[UnusableImage] = field(default_factory=list)
    vectors: list[NDArray[np.floating]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows) + len(self.errors)

    def add(self, more: "EncodedImages") -> None:
        """Append the images that follow."""
        self.rows += more.rows
        self.errors += more.errors
        self.vectors += more.vectors

    def write(self, dim: int, dtype: str, vectors_file: Path, errors_file: Path, metadata_file: Path) -> None:
        """Write the three files: vectors of `dtype`, errors, and one row of metadata per vector."""
        parts = [part for part in self.vectors if len(part)]
        save_array(vectors_file, np.concatenate(parts or [np.empty((0, dim))]).astype(dtype))
        save_table(table_of_rows(self.errors, ERROR_SCHEMA), errors_file)
        save_table(table_of_rows(self.rows, METADATA_SCHEMA), metadata_file)


class BlockParts:
    """The images of a block that are encoded, in memory and in parts.

    Args:
        folder: the folder of embeddings.
        block: number of the block.
        dtype: of the stored vectors.
    """

    def __init__(self, folder: Path, block: int, dtype: str) -> None:
        self._folder, self._block, self._dtype = folder, block, dtype
        self.encoded, self._unsaved = EncodedImages(), EncodedImages()
        for files in _finished(folder, block):
            try:
                self.encoded.add(_read(*files))
            except _DAMAGE:
                break  # what follows is encoded again
        self._saved_at = time.monotonic()

    def add(self, more: EncodedImages) -> None:
        """Append the images that follow. Every `LONGEST_S` seconds a part is written."""
        self.encoded.add(more)
        self._unsaved.add(more)
        if time.monotonic() - self._saved_at >= LONGEST_S:
            self.save()

    def save(self) -> None:
        """Write what is in no part yet."""
        if self._unsaved.rows:
            files = _files(self._folder, self._block, len(self.encoded) - len(self._unsaved))
            dim = next(part.shape[1] for part in self._unsaved.vectors if len(part))
            Unit(files[-1].name, files, partial(self._unsaved.write, dim, self._dtype)).execute()
            self._unsaved = EncodedImages()
        self._saved_at = time.monotonic()


def images_in_parts(folder: Path, blocks: Iterable[int]) -> int:
    """How many images the parts of some blocks hold."""
    return sum(count_rows(path) for block in blocks for files in _finished(folder, block) for path in files[1:])


def remove_parts(folder: Path, block: int) -> None:
    """Remove the parts of a block."""
    for path in (folder / PARTS).glob(f"*_{block:05d}_*"):
        path.unlink(missing_ok=True)


def _files(folder: Path, block: int, first: int) -> tuple[Path, Path, Path]:
    """Vectors, errors and metadata of the part of a block that begins with its image number `first`."""
    name = f"{block:05d}_{first:09d}"
    below = folder / PARTS
    return below / f"vectors_{name}.npy", below / f"errors_{name}.parquet", below / f"metadata_{name}.parquet"


def _finished(folder: Path, block: int) -> Sequence[tuple[Path, Path, Path]]:
    """The files of the parts of a block, one part after another."""
    found: list[tuple[Path, Path, Path]] = []
    images = 0
    while (files := _files(folder, block, images))[-1].exists():
        try:
            images += sum(map(count_rows, files[1:]))
        except _DAMAGE:
            break
        found.append(files)
    return found


def _read(vectors_file: Path, errors_file: Path, metadata_file: Path) -> EncodedImages:
    vectors = np.load(vectors_file, allow_pickle=False)
    errors = [UnusableImage(**row) for row in load_table(errors_file).to_pylist()]
    return EncodedImages(embedded_images(load_table(metadata_file)), errors, [vectors])
