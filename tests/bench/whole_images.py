"""Whole images against central squares on real photographs: seconds to decode, memory, and views per second on a CPU.

    python tests/bench/whole_images.py FOLDER --sizes 32 96 224

Images are held with a short side of 1.25 views at most, as in `miner train`. A view is a random resized crop, flipped or not,
with no change of colour. All sides take turns, `--turns` times; a ratio is the median of the ratios of the turns.

squares_by_products   central squares, by two matrix products, as before whole images were held
squares               central squares, as crops are made now
whole                 whole images
"""

import argparse
import time
from collections.abc import Callable
from math import ceil
from statistics import median

import torch
from record import publish, summary
from torch import Tensor

from miner.images.augment import crop
from miner.images.augment.crop import crop_and_resize, crop_boxes, draw_crops
from miner.images.loading import load_squares
from miner.images.ragged import Pixels, shapes_of
from miner.images.whole import load_images
from miner.learning.randomness import generator_for
from miner.source import open_source

AREA = (0.08, 1.0)


def measure(size: int, given: argparse.Namespace) -> dict[str, object]:
    source, bound = open_source(given.source), ceil(1.25 * size)
    entries = source.entries[: given.images]
    begun = time.perf_counter()
    squares = load_squares(source, entries, bound, 0, "decode")
    between = time.perf_counter()
    whole = load_images(source, entries, bound, 0, "decode")
    ended = time.perf_counter()
    rows = torch.arange(given.batch_size) % len(entries)

    def views(images: Pixels, resample: Callable[..., Tensor]) -> Callable[[], Tensor]:
        draws = draw_crops(len(rows), AREA, generator_for(0, "bench"))
        flipped = torch.arange(len(rows)) % 2 == 0
        return lambda: resample(images[rows], crop_boxes(draws, shapes_of(images[rows])), flipped, size)

    sides = {
        "squares_by_products": views(squares, crop._by_products),
        "squares": views(squares, crop_and_resize),
        "whole": views(whole, crop_and_resize),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(given.turns + 1):
        for name, work in sides.items():
            started = time.perf_counter()
            work()
            if turn:  # the first turn is slower on every side
                seconds[name].append(time.perf_counter() - started)
    return {
        "size": size,
        "short_side": bound,
        "decode_s": {"squares": between - begun, "whole": ended - between},
        "memory_mb": {"squares": squares.nbytes / 1e6, "whole": whole.nbytes / 1e6},
        **{
            name: {**summary(values), "views_per_s": given.batch_size / median(values)}
            for name, values in seconds.items()
        },
        "whole_over_squares_by_products": median(
            before / now for before, now in zip(seconds["squares_by_products"], seconds["whole"], strict=True)
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="photographs, as `miner embed` takes them")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 96, 224], help="sides of a view in pixels")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=128, help="views")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--name", default="whole-images")
    given = parser.parse_args()
    settings = {name: getattr(given, name) for name in ("images", "batch_size", "turns")}
    cases = [measure(size, given) for size in given.sizes]
    publish(given.name, {**settings, "threads": torch.get_num_threads(), "cases": cases})


if __name__ == "__main__":
    main()
