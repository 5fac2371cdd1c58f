"""Make the `sample` source: 3,000 Fashion-MNIST images, the first 300 of each class of the training set.

Fashion-MNIST is by Zalando SE (MIT licence). On Debian: apt-get install dataset-fashion-mnist, then

    python scripts/make_sample.py [/usr/share/datasets/fashion-mnist]

The tar is gzipped because headers and padding would treble the size of images this small.
"""

import gzip
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from miner.engine.tar import write_tar

PER_CLASS = 300
TARGET = Path(__file__).parents[1] / "miner/source/data/fashion-mnist-sample.tar.gz"


def read_idx(path: Path, header_bytes: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header_bytes)


def members(images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[str, bytes]]:
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == label)[:PER_CLASS] for label in range(10)]))
    for row in chosen:
        png = io.BytesIO()
        Image.fromarray(images[row]).save(png, format="PNG", optimize=True)
        yield f"fashion-{row:05d}.png", png.getvalue()
        yield f"fashion-{row:05d}.cls", str(labels[row]).encode()


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/datasets/fashion-mnist")
    images = read_idx(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz", 8)
    tar = io.BytesIO()
    write_tar(tar, members(images, labels))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    with TARGET.open("wb") as stream, gzip.GzipFile(fileobj=stream, mode="wb", filename="", mtime=0) as packed:
        packed.write(tar.getvalue())
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
