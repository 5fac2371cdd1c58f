"""Our augmentation against kornia's and torchvision v2's on the same batch of CIFAR-10 images, with as many threads.

    python tests/bench/augment.py --sides 32 96 --batch-size 512

All make the views of MoCo v2 from uint8 images: random resized crop, flip, colour jitter (0.4, 0.4, 0.4, 0.1) at 0.8, grey at
0.2, blur from 96 pixels on at 0.5, normalise. All sides take turns; a ratio is the median of the ratios of the turns.

miner              the whole batch at once, parameters of their own for each image
kornia             the whole batch at once, parameters of their own for each image; its jitter has one order for the whole batch
torchvision_each   v2 on one image after the other, parameters of their own for each image, as its users do in a data loader
torchvision_batch  v2 on the whole batch: one set of parameters for all images, which is no augmentation for this purpose; a bound
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import kornia
import torch
import torchvision
from kornia import augmentation as k
from record import publish, summary
from torch import Tensor
from torchvision.transforms import v2

from miner.images.augment.settings import AUGMENTATIONS, SMALL_SIDE
from miner.images.augment.views import Augmentation
from miner.images.loading import load_squares
from miner.learning.randomness import generator_for
from miner.machine.device import resolve_device
from miner.source import open_source

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)


def kornias(ours: Augmentation) -> torch.nn.Module:
    side, blur = (ours.size, ours.size), ours.settings.blur[0]
    steps = torch.nn.Sequential(
        k.RandomResizedCrop(side, scale=ours.settings.area, cropping_mode="resample"),
        k.RandomHorizontalFlip(p=0.5),
        k.ColorJitter(*ours.settings.jitter, p=0.8),
        k.RandomGrayscale(p=0.2),
        *([k.RandomGaussianBlur((ours.size // 20 * 2 + 1,) * 2, (0.1, 2.0), p=blur)] if blur else []),
        k.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    )
    return steps


def torchvisions(ours: Augmentation) -> Callable[[Tensor], Tensor]:
    blur = ours.settings.blur[0]
    return v2.Compose(
        [
            v2.RandomResizedCrop(ours.size, scale=ours.settings.area, antialias=True),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomApply([v2.ColorJitter(*ours.settings.jitter)], 0.8),
            v2.RandomGrayscale(0.2),
            *([v2.RandomApply([v2.GaussianBlur(ours.size // 20 * 2 + 1, (0.1, 2.0))], blur)] if blur else []),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


def seconds_of(work: Callable[[], Tensor], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def measure(side: int, given: argparse.Namespace) -> dict[str, object]:
    device = resolve_device(given.device)
    source = open_source("cifar10")
    images = load_squares(source, source.entries[: given.batch_size], side, 0, "decode").to(device)
    augment = Augmentation(side, MEAN, STD, AUGMENTATIONS["moco" if side >= SMALL_SIDE else "plain"])
    by_kornia, by_torchvision = kornias(augment).to(device), torchvisions(augment)
    sides: dict[str, Callable[[], Tensor]] = {
        "miner": lambda: augment(images, generator_for(0, "bench")),
        "kornia": lambda: by_kornia(images.float() / 255.0),
        "torchvision_each": lambda: torch.stack([by_torchvision(image) for image in images]),
        "torchvision_batch": lambda: by_torchvision(images),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(given.turns + 1):
        for name, work in sides.items():
            taken = seconds_of(work, device)
            if turn:  # the first turn is slower on every side
                seconds[name].append(taken)
    return {
        "side": side,
        "device": str(device),
        **{
            name: {**summary(values), "images_per_s": given.batch_size / median(values)}
            for name, values in seconds.items()
        },
        "miner_over": {
            name: median(theirs / ours for theirs, ours in zip(seconds[name], seconds["miner"], strict=True))
            for name in sides
            if name != "miner"
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 96])
    parser.add_argument("--batch-size", type=int, default=512, help="images")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--name", default="augment")
    given = parser.parse_args()
    record = {
        "data": "cifar10",
        "batch_size": given.batch_size,
        "turns": given.turns,
        "threads": torch.get_num_threads(),
        "versions": {"kornia": kornia.__version__, "torchvision": torchvision.__version__},
        "cases": [measure(side, given) for side in given.sides],
    }
    publish(given.name, record)


if __name__ == "__main__":
    main()
