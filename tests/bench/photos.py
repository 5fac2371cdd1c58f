"""A folder of photographs in any number: the built-in sample, enlarged, as JPEG files.

python tests/bench/photos.py --to FOLDER --images 12800 --size 500 375
"""

import argparse
from pathlib import Path

from PIL import Image

from miner.images.decode import decode_image
from miner.source import open_source

DISTINCT = 1000


def write_photos(folder: Path, count: int, size: tuple[int, int]) -> None:
    """So many files of this width and height; those after the first 1,000 are further names of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    source = open_source("sample")
    for number in range(count):
        path = folder / f"{number:06d}.jpg"
        if number < DISTINCT:
            image = decode_image(source.read(source.entries[number]))
            image.resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
        elif not path.exists():
            path.hardlink_to(folder / f"{number % DISTINCT:06d}.jpg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--images", type=int, default=DISTINCT)
    parser.add_argument("--size", type=int, nargs=2, default=(500, 375))
    options = parser.parse_args()
    write_photos(options.to, options.images, tuple(options.size))


if __name__ == "__main__":
    main()
