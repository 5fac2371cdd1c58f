"""Whether a detector learns in a short run on a CPU: AP50 on real photographs of clothes, pasted on noisy backgrounds.

    python tests/bench/detection.py PHOTOGRAPHS [--network random:resnet18 --iterations 300]

PHOTOGRAPHS is a labelled source, such as the shards of clothing160. Photographs of the training scenes are in no test scene.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch
from record import publish

from miner.artifacts.workspace import Workspace
from miner.downstream.detect.run import detect
from miner.evaluate.detect_options import DetectOptions
from miner.source import open_source

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.downstream.detect.made_set import photographs_of, write_made_set

CLASSES = {"pants": 8, "shoes": 11, "T-shirt": 14}
TRAIN, TEST = slice(0, 200), slice(200, 260)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs")
    parser.add_argument("--network", default="random:resnet18")
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--test-scenes", type=int, default=60)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--lr", type=float, default=0.04)
    parser.add_argument("--regions", type=int, default=12)
    parser.add_argument("--test-regions", type=int, default=50)
    asked = parser.parse_args()
    source, started = open_source(asked.photographs), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sides = {"train": (TRAIN, asked.scenes), "test": (TEST, asked.test_scenes)}
        parts = {
            part: write_made_set(root / "scenes", part, photographs_of(source, CLASSES, rows), count, 160)
            for part, (rows, count) in sides.items()
        }
        options = DetectOptions.parse(
            {
                **parts,
                **{
                    name: getattr(asked, name)
                    for name in ("network", "iterations", "batch_size", "lr", "regions", "test_regions")
                },
                **{"warmup": 20, "smallest_side": 160, "side": 160, "longest": 160, "device": "cpu"},
            }
        )
        result = detect(options, Workspace(root / "workspace"))
    record = {
        name: value for name, value in result.record.items() if name not in ("request", "digest", "train", "test")
    }
    publish(
        "detection",
        {
            "data": {"photographs": Path(asked.photographs).name, "classes": CLASSES, "scene_side": 160},
            "seconds": round(time.perf_counter() - started, 1),
            "threads": torch.get_num_threads(),
            "above_half": record["voc"]["ap50"] > 50,
            **record,
        },
    )


if __name__ == "__main__":
    main()
