"""Two hundred thousand real images: CIFAR-10's training set in four views each, as shards to embed.

    python tests/bench/views.py --to /tmp/views
    miner embed '/tmp/views/view-{0..3}.tar' --encoder run:datasets_out/cifar10/runs/moco -w datasets_out/cifar10-views

View 0 is the image itself, 1 its mirror image, 2 and 3 random crops of 60 to 100 % of the area with a change of brightness.
"""

import argparse
import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from miner.source import open_source


def view(image: Image.Image, number: int, draw: np.random.Generator) -> Image.Image:
    if number == 0:
        return image
    if number == 1:
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    side = round(image.width * float(np.sqrt(draw.uniform(0.6, 1.0))))
    left, top = (int(draw.integers(0, image.width - side + 1)) for _ in range(2))
    crop = image.crop((left, top, left + side, top + side)).resize(image.size, Image.Resampling.BICUBIC)
    return ImageEnhance.Brightness(crop).enhance(float(draw.uniform(0.8, 1.2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    source = open_source("cifar10")
    for number in range(4):
        draw = np.random.default_rng(number)
        with tarfile.open(options.to / f"view-{number}.tar", "w") as tar:
            for entry in source.entries:
                stream = io.BytesIO()
                image = Image.open(io.BytesIO(source.read(entry))).convert("RGB")
                view(image, number, draw).save(stream, "PNG", compress_level=1)
                for suffix, data in (("png", stream.getvalue()), ("cls", str(entry.label).encode())):
                    member = tarfile.TarInfo(f"{entry.key}-{number}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


if __name__ == "__main__":
    main()
