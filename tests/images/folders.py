"""Folders of pictures of given sizes, and a source that counts what is read."""

import threading
from pathlib import Path

import numpy as np
from PIL import Image

from miner.source import Entry, Source


def folder_of(path: Path, sizes: list[tuple[int, int]]) -> str:
    """Smooth pictures of noise, as PNG files in the order of their widths and heights; returns the folder."""
    path.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number, (width, height) in enumerate(sizes):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(path / f"{number:03d}.png")
    return str(path)


class Counting:
    """A source that counts what is read."""

    def __init__(self, source: Source) -> None:
        self.source, self.reads, self._lock = source, 0, threading.Lock()

    def read(self, entry: Entry) -> bytes:
        with self._lock:
            self.reads += 1
        return self.source.read(entry)
