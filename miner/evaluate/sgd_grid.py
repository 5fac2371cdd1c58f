"""Linear classifiers trained by SGD side by side on the same features, two for each learning rate."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from miner.engine import Progress
from miner.evaluate.options import LinearOptions
from miner.learning.randomness import generator_for
from miner.learning.schedule import cosine

# At batch size 256. Published learning rates go from 0.1 (Barlow Twins) to 30 (MoCo, SimSiam).
LRS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
LR_BATCH = 256
MOMENTUM = 0.9
_INITIAL_DEVIATION = 0.01
_FALLS = (0.6, 0.8)


@dataclass(frozen=True)
class ClassifierGrid:
    """Linear layers in the order of `LRS`.

    Attributes:
        choosing: trained without the validation images.
        reported: trained on all images.
    """

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
        options: epochs, batch size, schedule and seed.
        features_of: (rows on the CPU, step) -> float32 (batch, width), on the device of the labels.
        labels: int64 (n,).
        validation: bool (n,), on the device of the labels.
        width: of the features.
        class_count: of the labels.
        progress: counts the images.
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
