"""The idx files of the MNIST family: a small header and numbers of one type, packed with gzip."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miner.source.named.arrays import Arrays

_UINT8 = 8
_LARGEST_BYTES = 1 << 30
_FILES = {"train": "train", "test": "t10k"}


def read_idx_splits(folder: Path) -> dict[str, Arrays] | None:
    """Images and labels of both splits, from `train-images-idx3-ubyte.gz` and the three other files.

    Returns:
        None if a file is missing or damaged.
    """
    try:
        splits = {
            split: (
                _read(folder / f"{prefix}-images-idx3-ubyte.gz", 3),
                _read(folder / f"{prefix}-labels-idx1-ubyte.gz", 1),
            )
            for split, prefix in _FILES.items()
        }
        return splits if all(len(pixels) == len(labels) for pixels, labels in splits.values()) else None
    except (OSError, EOFError, ValueError, struct.error, zlib.error):
        return None


def _read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    with gzip.open(path) as stream:
        zero, kind, found = struct.unpack(">HBB", stream.read(4))
        if (zero, kind, found) != (0, _UINT8, dimensions):
            raise ValueError(f"{path} is no idx file of {dimensions} dimensions")
        shape = struct.unpack(f">{dimensions}I", stream.read(4 * dimensions))
        data = stream.read(min(int(np.prod(shape, dtype=np.float64)), _LARGEST_BYTES) + 1)
    return np.frombuffer(data, np.uint8).reshape(shape)
