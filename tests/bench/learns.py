"""Whether every method learns: kNN accuracy after a short run on few images, against the random start of the same network.

    python tests/bench/learns.py [--images 2000 --epochs 24 --methods moco,simclr]
    python tests/bench/learns.py --recipe pipelines/recipes/cifar10/patchmix_tiny.yaml --set patch_size=4 [--set ...]

Own views only, each method with its own defaults but for what `SHORT` says; or the settings of a recipe in fewer images and epochs.
Test images are of the test set, labels are used by the vote alone.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from record import publish

from miner.artifacts.runs.inputs import Inputs
from miner.artifacts.stage_folder import Stage
from miner.engine.yaml_values import parse_yaml
from miner.evaluate.knn import measure_knn
from miner.evaluate.options import KnnOptions
from miner.options import read_yaml
from miner.train.pretrain import pretrain
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from miner.train.settings.options import TrainOptions

# With the settings of long runs, some hundred steps are too few for methods without negatives: features of simsiam are then worse
# than random ones, in a plain script of the paper's algorithm as well.
SHORT: dict[str, dict[str, Any]] = {
    "simsiam": {"lr": 0.3, "dim": 256, "hidden_dim": 1024, "predictor_dim": 1024},
    "byol": {"lr": 0.3, "momentum": 0.9},
    "dino": {"lr": 0.24, "dim": 256, "hidden_dim": 512},
    "graphnnclr": {"lr": 0.24, "dim": 256, "hidden_dim": 512},
    "fnc": {"false_negative_start": 5},
    "mnn": {"lr": 0.15, "momentum": 0.9, "dim": 256, "hidden_dim": 1024, "predictor_dim": 1024, "neighbors": 1},
}
SETTINGS = (
    "lr_peak",
    "batch_size",
    "steps",
    "image_size",
    "least_area",
    "augmentation",
    "stem",
    "precision",
    "norm_splits",
    "backbone",
    "patch_size",
    "optimizer",
    "weight_decay",
    "final_weight_decay",
    "warmup_steps",
    "drop_path",
    "projector_layers",
)


def learn(options: TrainOptions, source: str, test_images: int, folder: Path) -> dict[str, Any]:
    """Train one method, and classify test images by its features and by those of its start."""
    inputs = Inputs("source", source, source, fingerprint="")
    stage = Stage(folder, {**options.plain(), "inputs": inputs.fingerprint})
    stage.begin(force=False)
    started = time.perf_counter()
    trained = pretrain(options, inputs, folder)
    record, measured = trained.record, trained.measured
    seconds = time.perf_counter() - started
    stage.finish(record, [folder / name for name in trained.files])
    knn = measure_knn(KnnOptions(gallery=source, limit=test_images, device=options.device), folder, None)
    final = {name: value for name, value in record.items() if name.startswith("final_")}
    accuracy = [
        {key: result[key] for key in ("k", "temperature", "trained", "random")}
        | {"gain": round(result["trained"] - result["random"], 3)}
        for result in knn["results"]
    ]
    return {
        "method": options.method,
        "settings": {
            name: record[name]
            for name in (*SETTINGS, *METHOD_DEFAULTS[options.method].settings)
            if record.get(name) is not None
        },
        "seconds": round(seconds, 1),
        "items_per_s": round(measured["items_per_s"], 1),
        "knn_percent": accuracy,
        "majority_percent": knn["majority"],
        "gallery": knn["n_gallery"],
        "test": knn["n_test"],
        **final,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="cifar10")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--test-images", type=int, default=10_000, help="most images of either side")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--stem", default="imagenet")
    parser.add_argument("--least-area", type=float, default=0.2, help="of the image in a view")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--methods", default=",".join(METHOD_DEFAULTS))
    parser.add_argument("--recipe", type=Path, help="one method with its published settings")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="of the recipe, changed")
    parser.add_argument("--name", default="learns-cifar10", help="of the record")
    asked = parser.parse_args()
    small = {"limit": asked.images, "epochs": asked.epochs, "batch_size": asked.batch_size, "device": asked.device}
    if asked.recipe:
        changed = {name: parse_yaml(value) for name, value in (change.split("=") for change in asked.set)}
        wanted = [{**read_yaml(asked.recipe), **small, **changed}]
    else:
        views = {"pairs_arm": "none", "stem": asked.stem, "least_area": asked.least_area}
        wanted = [{"method": method, **views, **small, **SHORT.get(method, {})} for method in asked.methods.split(",")]
    rows = []
    for options in map(TrainOptions.parse, wanted):
        method = options.method
        with tempfile.TemporaryDirectory() as folder:
            rows.append(learn(options, asked.source, asked.test_images, Path(folder) / "runs" / method))
        print(method, rows[-1]["knn_percent"], file=sys.stderr, flush=True)
    learned = all(result["gain"] > 0 for row in rows for result in row["knn_percent"])
    data = {"source": asked.source, "images": asked.images, "epochs": asked.epochs}
    publish(
        asked.name,
        {"data": data, "threads": torch.get_num_threads(), "every_method_learned": learned, "methods": rows},
    )


if __name__ == "__main__":
    main()
