"""What of the pixels of images is compared: a checksum, and a small grey square."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from miner.artifacts.embeddings.vectors import Rows
from miner.engine import Progress
from miner.leaks.alignment import small_grey
from miner.leaks.sets import OpenedSet
from miner.pairs.calibration.images import SourceImages

_MOST_THREADS = 8


class Pictures:
    """Pixels of the images of all sets, by row of their table; each image is decoded once.

    Attributes:
        small: as of `small_grey`.
        digest: the sha256 of size and pixels of the upright image.
        shorter_side: in pixels.
    """

    def __init__(self, sets: Sequence[OpenedSet], table: pa.Table, number: Rows) -> None:
        self._images = [SourceImages(each.source, each.images) for each in sets]
        self._keys, self._number = table["key"], number
        self.small: dict[int, NDArray[np.uint8]] = {}
        self.digest: dict[int, bytes] = {}
        self.shorter_side: dict[int, int] = {}

    def read(self, rows: Rows) -> None:
        """Decode the images in these rows that were not decoded before.

        Raises:
            MinerError: an image has changed since it was embedded, or its source is gone.
        """
        new = [row for row in rows.tolist() if row not in self.small]
        for number in {int(self._number[row]) for row in new}:
            _ = self._images[number].entries  # opened before threads need it
        threads = ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS))
        with threads as pool, Progress("compare", len(new), "images") as progress:
            for _ in pool.map(self._read, new):
                progress.advance()

    def image(self, row: int) -> Image.Image:
        """An image, RGB and upright.

        Raises:
            MinerError: it cannot be decoded, or has changed since it was embedded.
        """
        return self._images[int(self._number[row])].image(self._keys[row].as_py())

    def _read(self, row: int) -> None:
        image = self.image(row)
        content = hashlib.sha256(f"{image.width} x {image.height} ".encode() + image.tobytes())
        self.digest[row], self.shorter_side[row] = content.digest(), min(image.size)
        self.small[row] = small_grey(image)
