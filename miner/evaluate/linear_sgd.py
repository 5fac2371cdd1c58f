"""The linear protocol of papers: SGD on frozen features of random crops, with several learning rates side by side."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from miner.artifacts.runs.networks import TrainedBackbone
from miner.engine import Progress, Record
from miner.evaluate.options import LinearOptions
from miner.evaluate.setup import EvaluationSetup
from miner.images.augment.crop import crop_and_resize, crop_boxes, draw_crops
from miner.images.normalise import normalise
from miner.images.ragged import Pixels, device_of_rows, shapes_of, to_device
from miner.learning.logistic import Candidate, best_candidate
from miner.learning.nearest import accuracy_percent
from miner.learning.randomness import generator_for
from miner.learning.schedule import cosine

AREA = (0.08, 1.0)
# At batch size 256. Published learning rates go from 0.1 (Barlow Twins) to 30 (MoCo, SimSiam).
LRS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
LR_BATCH = 256
MOMENTUM = 0.9
_INITIAL_DEVIATION = 0.01
_FALLS = (0.6, 0.8)


def measure_sgd(
    options: LinearOptions, setup: EvaluationSetup, validation: Tensor
) -> tuple[Record, dict[str, tuple[list[Candidate], Tensor]]]:
    """Train and test on both backbones.

    Args:
        validation: bool (n_gallery,), on the device; the images that the learning rate is chosen on.
    Returns:
        The protocol in words; and by backbone what was tried, and the class of each test image by the best, int64 (m,).
    """
    gallery, test = setup.split.gallery, setup.split.test
    chosen = [entry for entry, held_out in zip(gallery.entries, validation.tolist(), strict=True) if held_out]
    plain = [setup.squares(images, options.workers) for images in (replace(gallery, entries=chosen), test)]
    config = setup.trained.config
    # Runs of earlier versions name it otherwise.
    bound = int(config["short_side"] if "short_side" in config else config["canvas"])
    images = to_device(gallery.whole(bound, options.workers), setup.device)
    found = {}
    for name, backbone in setup.backbones.items():
        held_out, queries = (setup.pooled(name, pixels, options.batch_size) for pixels in plain)
        crops = CropFeatures(backbone, images, options.seed, setup.device)
        with Progress(f"linear, {name}", total=options.epochs * len(images), item="images") as progress:
            grid = train_grid(options, crops, setup.labels, validation, queries.shape[1], setup.class_count, progress)
        accuracies = [accuracy_percent(_named(layer, held_out), setup.labels[validation]) for layer in grid.choosing]
        candidates = [Candidate(lr, accuracy) for lr, accuracy in zip(LRS, accuracies, strict=True)]
        reported = grid.reported[candidates.index(best_candidate(candidates))]
        found[name] = candidates, _named(reported, queries)
    protocol = {
        "protocol": "augmented",
        "classifier": f"linear layer by SGD: momentum {MOMENTUM}, no weight decay, {options.epochs} epochs, batch "
        f"{options.batch_size}, {options.schedule} schedule from lr x batch / {LR_BATCH}; for each lr one without the validation "
        "images, to choose by, and one on all training images, to report",
        "train_crops": f"random resized crops of {AREA[0]:.0%} to {AREA[1]:.0%} of the area of the whole image, half "
        "of them flipped",
        "norm": "none",
        "setting": "lr",
    }
    return protocol, found


class CropFeatures:
    """Frozen features of random crops; every step has other crops."""

    def __init__(self, backbone: TrainedBackbone, images: Pixels, seed: int, device: torch.device) -> None:
        self.backbone, self.images, self.seed, self.device = backbone, images, seed, device

    @torch.no_grad()
    def __call__(self, rows: Tensor, step: int) -> Tensor:
        """Features of the images in these rows: int64 (batch,) on the CPU -> float32 (batch, width)."""
        generator = generator_for(self.seed, "linear crops", step)
        pixels = self.images[rows.to(device_of_rows(self.images))].to(self.device, non_blocking=True)
        boxes = crop_boxes(draw_crops(len(rows), AREA, generator), shapes_of(pixels)).to(self.device)
        flipped = (torch.rand(len(rows), generator=generator) < 0.5).to(self.device)
        views = crop_and_resize(pixels, boxes, flipped, self.backbone.image_size).div_(255.0)
        features: Tensor = self.backbone.module(normalise(views, self.backbone.mean, self.backbone.std))
        return features.float()


@torch.no_grad()
def _named(layer: nn.Linear, features: Tensor) -> Tensor:
    return layer(features).argmax(dim=1)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class ClassifierGrid:
    """Linear layers in the order of `LRS`: to choose by, trained without the validation images; to report, on all images."""

    choosing: list[nn.Linear]
    reported: list[nn.Linear]


def train_grid(
    options: LinearOptions,
    features_of: Callable[[Tensor, int], Tensor],
    labels: Tensor,
    validation: Tensor,
    width: int,
    class_count: int,
    progress: Progress,
) -> ClassifierGrid:
    """Train all layers by SGD with momentum and without weight decay. They have equal initial weights and separate losses.

    Args:
        features_of: (rows on the CPU, step) -> float32 (batch, width), on the device of the labels.
        labels: int64 (n,).
        validation: bool (n,), on the device of the labels.
    """
    count = len(labels)
    steps_per_epoch = -(-count // options.batch_size)
    factors = lr_factors(options.schedule, options.epochs * steps_per_epoch)
    peaks = [lr * options.batch_size / LR_BATCH for lr in LRS]
    grid = ClassifierGrid(
        *([new_layer(width, class_count, options.seed).to(labels.device) for _ in LRS] for _ in range(2))
    )
    layers = [*grid.choosing, *grid.reported]
    optimizer = torch.optim.SGD([{"params": layer.parameters()} for layer in layers], momentum=MOMENTUM)
    for step, factor in enumerate(factors):
        epoch, position = divmod(step, steps_per_epoch)
        if position == 0:
            order = torch.randperm(count, generator=generator_for(options.seed, "linear order", epoch))
            batches = torch.split(order, options.batch_size)
        for group, peak in zip(optimizer.param_groups, [*peaks, *peaks], strict=True):
            group["lr"] = peak * float(factor)
        features = features_of(batches[position], step)
        rows = batches[position].to(labels.device)
        optimizer.zero_grad()
        torch.autograd.backward(_loss(grid, features, labels[rows], validation[rows]))
        optimizer.step()
        progress.advance(len(rows))
    return grid


def new_layer(width: int, class_count: int, seed: int) -> nn.Linear:
    """Initial layer of MoCo's linear evaluation: weights from a normal distribution of deviation 0.01, bias 0."""
    layer = nn.Linear(width, class_count)
    nn.init.normal_(layer.weight, std=_INITIAL_DEVIATION, generator=generator_for(seed, "linear layer"))
    nn.init.zeros_(layer.bias)
    return layer


def lr_factors(schedule: str, steps: int) -> NDArray[np.float64]:
    """The learning rate over its peak, by step: a cosine towards 0, or divisions by 10 after 60 % and 80 % of the steps."""
    if schedule == "cosine":
        return cosine(1.0, steps)
    falls = sum(np.arange(steps) >= share * steps for share in _FALLS)
    return np.asarray(0.1**falls, np.float64)


def _loss(grid: ClassifierGrid, features: Tensor, labels: Tensor, held_out: Tensor) -> Tensor:
    """The sum of all layers' losses. The loss of a layer is the mean over the images that it is trained on."""
    seen = (~held_out).float()
    weights = seen / seen.sum().clamp_min(1.0)
    choosing = [F.cross_entropy(layer(features), labels, reduction="none") @ weights for layer in grid.choosing]
    reported = [F.cross_entropy(layer(features), labels) for layer in grid.reported]
    return torch.stack([*choosing, *reported]).sum()
