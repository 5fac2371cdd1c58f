"""`miner train` against lightly with a ResNet-18, by default on CIFAR-10: items per second, an item being two views of an image.

    python tests/bench/train.py --methods moco simsiam vicreg dino --stems imagenet cifar

Ours is the whole run with its files, data path and `--precision`, timed from the beginning of one step to that of another, within
one epoch. lightly is its own data set, transforms, heads and losses (lightly_peer.py) behind torch's DataLoader with worker
processes. Both compute with as many threads, on batches as large; widths, queue and optimizer are the same. All sides take
turns, `--turns` times; a ratio is the median of the ratios of the turns.

ours_auto       the precision that `miner train` chooses here
ours_fp32       --precision fp32
lightly_fp32    as lightly computes by default
lightly_bf16    its step under bfloat16 autocast, which its users have to write themselves
"""
# ruff: noqa: E402

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from unittest import mock

from miner.engine.heap import share_one_heap

share_one_heap()  # as the command line does, before any library starts a thread

import lightly
import lightly_peer
import torch
from record import publish
from stopwatch import EnoughError, Stopwatch
from torch import Tensor

from miner.artifacts.runs.inputs import Inputs
from miner.images.loading import load_squares
from miner.machine.device import resolve_device, resolve_precision
from miner.source import open_source
from miner.train import pretrain as training
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from miner.train.settings.options import TrainOptions


def ours(method: str, stem: str, precision: str, given: argparse.Namespace) -> float:
    options = TrainOptions(
        method=method,
        stem=stem,
        precision=precision,
        batch_size=given.batch_size,
        limit=given.images,
        image_size=given.side,
        device=given.device,
        pairs_arm="none",
    )
    watch = Stopwatch(given.warm_up, given.seconds, given.steps)
    build = training.build_method

    def timed(*arguments: object) -> object:
        made = build(*arguments)
        made.register_forward_pre_hook(lambda *_: watch.step())
        return made

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(training, "build_method", timed):
        try:
            training.pretrain(options, Inputs("source", given.source, given.source, fingerprint=""), Path(folder))
        except EnoughError:
            return watch.items_per_s(given.batch_size)
    raise RuntimeError("the run ended before it was timed: --images is too small")


def peers(method: str, stem: str, pixels: Tensor, bf16: bool, given: argparse.Namespace) -> float:
    device = resolve_device(given.device).type
    watch = Stopwatch(given.warm_up, given.seconds, given.steps)
    steps = lightly_peer.train(method, stem, pixels, given.batch_size, given.loader_workers, device, bf16)
    try:
        for _ in steps:
            watch.step()
    except EnoughError:
        steps.close()
    return watch.items_per_s(given.batch_size)


def measure(method: str, stem: str, pixels: Tensor, given: argparse.Namespace) -> dict[str, object]:
    sides: dict[str, Callable[[], float]] = {
        "ours_auto": lambda: ours(method, stem, "auto", given),
        "lightly_fp32": lambda: peers(method, stem, pixels, False, given),
        "ours_fp32": lambda: ours(method, stem, "fp32", given),
        "lightly_bf16": lambda: peers(method, stem, pixels, True, given),
    }
    if method not in lightly_peer.METHODS:
        sides = {name: side for name, side in sides.items() if name.startswith("ours")}
    if given.quick:
        sides = {name: side for name, side in sides.items() if name in ("ours_auto", "lightly_bf16")}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(given.turns):
        for name, side in sides.items():
            rates[name].append(side())

    def ratio(mine: str, other: str) -> float | None:
        if mine not in rates or other not in rates:
            return None
        return median(a / b for a, b in zip(rates[mine], rates[other], strict=True))

    return {
        "method": method,
        "stem": stem,
        "items_per_s": {name: median(values) for name, values in rates.items()},
        "turns": rates,
        "ours_over_lightly": ratio("ours_auto", "lightly_fp32"),
        "ours_over_lightly_both_fp32": ratio("ours_fp32", "lightly_fp32"),
        "ours_over_lightly_bf16": ratio("ours_auto", "lightly_bf16"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--methods", nargs="+", default=["moco", "simsiam", "vicreg", "dino"], choices=list(METHOD_DEFAULTS)
    )
    parser.add_argument("--stems", nargs="+", default=["imagenet", "cifar"], choices=["imagenet", "cifar"])
    parser.add_argument("--source", default="cifar10")
    parser.add_argument("--side", type=int, default=32, help="of the views, in pixels")
    parser.add_argument("--quick", action="store_true", help="only ours_auto against lightly_bf16")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--images", type=int, default=12_800, help="an epoch must be longer than what is timed")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=3, help="least steps on the clock")
    parser.add_argument("--seconds", type=float, default=3.0, help="least time on the clock")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--loader-workers", type=int, default=2, help="processes of lightly's loader")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--name", default="train-throughput")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    source = open_source(given.source)
    pixels = load_squares(source, source.entries[: given.images], given.side, 0, "decode")
    pixels = pixels.permute(0, 2, 3, 1).contiguous()
    settings = ("side", "batch_size", "images", "warm_up", "steps", "seconds", "turns", "threads", "loader_workers")
    device = resolve_device(given.device)
    cases: list[dict[str, object]] = []
    record = {
        "data": Path(given.source).name,
        "backbone": "resnet18",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "precision_auto": str(resolve_precision("auto", device)).removeprefix("torch."),
        "lightly": lightly.__version__,
        **{name: getattr(given, name) for name in settings},
        "cases": cases,
    }
    for stem in given.stems:
        for method in given.methods:
            cases.append(measure(method, stem, pixels, given))
            print(json.dumps(cases[-1]), file=sys.stderr, flush=True)
            publish(given.name, record)  # after each case, so that a run that is ended early leaves those before


if __name__ == "__main__":
    main()
