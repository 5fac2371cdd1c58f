"""Decoding ahead of the step: images per second by threads, and peak memory by how many images there are.

    python tests/bench/stream.py --images 1000 --threads 1 2

writes JPEG files of 500 x 375 pixels (the built-in sample, enlarged), and reads steps of random rows as `miner train --data stream`
does. Memory is the peak of a whole process that opens 1, 4 and 16 times as many images and reads as many steps of them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from photos import write_photos
from record import publish

from miner.images.stream import StreamedImages
from miner.machine.memory import peak_bytes
from miner.source import open_source
from miner.train.data.sampler import CombinedSampler

SHORT_SIDE, SIZE = 280, (500, 375)
NO_PAIRS = torch.zeros(0, 2, dtype=torch.long)


def leg(folder: str, threads: int, batch_size: int, steps: int) -> dict[str, float]:
    source = open_source(folder)
    images = StreamedImages(source, source.entries, SHORT_SIDE, threads)
    sampler = CombinedSampler(len(images), NO_PAIRS, batch_size, 0)
    images.expect(batch.flatten() for batch in sampler.batches(0, 10**9))
    begun = []
    for batch in sampler.batches(0, steps + 1):
        images.next_step(batch.flatten())
        begun.append(time.perf_counter())
    seconds = begun[-1] - begun[0]
    peak_mb = peak_bytes() / 2**20
    return {"images": len(images), "threads": threads, "images_per_s": steps * batch_size / seconds, "peak_mb": peak_mb}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--name", default="stream")
    parser.add_argument("--leg", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.leg:
        print(json.dumps(leg(given.leg[0], int(given.leg[1]), given.batch_size, given.steps)))
        return

    def measured(folder: Path, threads: int) -> dict[str, float]:
        command = [sys.executable, __file__, "--leg", str(folder), str(threads)]
        command += ["--batch-size", str(given.batch_size), "--steps", str(given.steps)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary) / str(factor) for factor in (1, 4, 16)]
        for folder, factor in zip(folders, (1, 4, 16), strict=True):
            folder.mkdir()
            write_photos(folder, factor * given.images, SIZE)
        threads = [measured(folders[0], count) for count in given.threads]
        memory = [measured(folder, given.threads[-1]) for folder in folders]
    settings = {"batch_size": given.batch_size, "steps": given.steps, "short_side": SHORT_SIDE, "image_size": SIZE}
    publish(given.name, {"data": "sample, enlarged", **settings, "by_threads": threads, "by_images": memory})


if __name__ == "__main__":
    main()
