"""Folders for tests of `miner embed`: what they hold, images that are added later, and a run that dies on the way."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from miner.embed.worker import Worker


def checksums(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder, by its path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def add_images(folder: Path, count: int, start: int = 0) -> None:
    """Add copies of images whose names sort before and between the old ones."""
    for number, old in enumerate(sorted((folder / "class0").glob("[0-9]*.jpg"))[:count]):
        (folder / "class0" / f"!new{start + number:03d}.jpg").write_bytes(old.read_bytes())


def die_at_call(number: int) -> Callable[[Worker, torch.Tensor], np.ndarray]:
    """A `Worker.vectors` that is interrupted when it is called for the so-many-th time, from 1."""
    encode, calls = Worker.vectors, []

    def vectors(worker: Worker, pixels: torch.Tensor) -> np.ndarray:
        calls.append(len(pixels))
        if len(calls) >= number:
            raise KeyboardInterrupt
        return encode(worker, pixels)

    return vectors
