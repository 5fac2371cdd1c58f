"""Data sets that are published as arrays, kept in the cache as WebDataset tars of PNGs."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.engine import committed
from miner.engine.tar import write_tar

# Pixels, uint8 (n, height, width) or (n, height, width, 3), and labels, integers (n,), -1 for none.
Arrays = tuple[NDArray[np.uint8], NDArray[Any]]


def tar_path(folder: Path, name: str, split: str) -> Path:
    """The path of a split's tar."""
    return folder / f"{name}-{split}.tar"


def cache_as_tar(folder: Path, name: str, split: str, arrays: Arrays) -> Path:
    """Write a split as a tar of SPLIT-00000.png and SPLIT-00000.cls; the same arrays give the same bytes.

    Args:
        folder: cache folder of the data set.
        name, split: the name and split of the data set; both are part of the file's name.
        arrays: images and labels.
    """
    target = tar_path(folder, name, split)
    with committed(target) as partial, partial.open("wb") as stream:
        write_tar(stream, _members(split, arrays))
    return target


def _members(split: str, arrays: Arrays) -> Iterator[tuple[str, bytes]]:
    from PIL import Image

    for number, (pixels, label) in enumerate(zip(*arrays, strict=True)):
        image = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(image, format="PNG")
        yield f"{split}-{number:05d}.png", image.getvalue()
        if label >= 0:
            yield f"{split}-{number:05d}.cls", str(int(label)).encode()
