"""A detector is trained step by step from its last checkpoint, and tested."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from miner.downstream.detect.annotations import AnnotatedImage
from miner.downstream.detect.batches import DetectionBatch, single_images, training_batches
from miner.downstream.detect.precision import Detections
from miner.engine import Progress
from miner.errors import MinerError
from miner.evaluate.detect_options import DetectOptions
from miner.learning.checkpoint import load_checkpoint, save_checkpoint
from miner.learning.randomness import seeded

LR_BATCH = 16
MOMENTUM, DECAY = 0.9, 1e-4
FALLS = (3 / 4, 11 / 12)
_FIRST = 1e-3
_MOST_NORM_BATCHES = 200


def train_detector(
    options: DetectOptions,
    detector: nn.Module,
    images: Sequence[AnnotatedImage],
    checkpoint: Path,
    device: torch.device,
) -> list[float]:
    """Train in place, from the checkpoint if there is one, and estimate the statistics of the batch norms anew.

    Args:
        detector: on `device`.
        images: each with an object.
        checkpoint: the file that is written every `checkpoint_steps` steps and after the last.
    Returns:
        The loss of each step.
    Raises:
        MinerError: a loss is not finite; or as `training_batches`.
    """
    optimizer, losses = _optimizer(detector), _Losses()
    lrs = lr_by_step(options)
    done = load_checkpoint(checkpoint, detector, optimizer, [losses])
    detector.train()
    steps = range(done, options.iterations)
    size = options.batch_size
    with Progress("train", options.iterations * size, "images", finished=done * size) as progress:
        for step, batch in zip(
            steps, training_batches(images, size, options.seed, steps, options.workers), strict=True
        ):
            for group in optimizer.param_groups:
                group["lr"] = float(lrs[step])
            loss = _loss(detector, batch.to(device), options.seed, step)
            losses.values.append(loss.item())
            if not np.isfinite(losses.values[-1]):
                raise MinerError(
                    f"The loss of the detector is not finite in step {step + 1:,}. Give a lower --lr with --force."
                )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if (step + 1) % options.checkpoint_steps == 0 or step + 1 == options.iterations:
                save_checkpoint(checkpoint, step + 1, detector, optimizer, [losses])
            progress.advance(size, f"loss {losses.values[-1]:.2f}")
    _estimate_norms(options, detector, images, device)
    return losses.values


def norm_batches(options: DetectOptions) -> int:
    """Batches from which the statistics of the batch norms are estimated: 200 as in Detectron2, fewer for short trainings."""
    return min(_MOST_NORM_BATCHES, -(-options.iterations // 10))


def lr_by_step(options: DetectOptions) -> NDArray[np.float64]:
    """The learning rate: a linear rise from a thousandth, and a tenth of it after 3/4 and 11/12 of the steps, as MoCo."""
    steps = np.arange(options.iterations)
    rise = np.minimum(_FIRST + (1 - _FIRST) * steps / max(options.warmup, 1), 1.0) if options.warmup else 1.0
    falls = sum(steps >= share * options.iterations for share in FALLS)
    return np.asarray(options.lr * options.batch_size / LR_BATCH * rise * 0.1**falls)


def _optimizer(detector: nn.Module) -> torch.optim.Optimizer:
    """SGD as in Detectron2, whose weight decay spares batch norms."""
    norms = [
        weight for layer in detector.modules() if isinstance(layer, nn.BatchNorm2d) for weight in layer.parameters()
    ]
    spared = {id(weight) for weight in norms}
    others = [weight for weight in detector.parameters() if id(weight) not in spared]
    groups = [{"params": others, "weight_decay": DECAY}, {"params": norms, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.0, momentum=MOMENTUM)


def _loss(detector: nn.Module, batch: DetectionBatch, seed: int, step: int) -> Tensor:
    # The sizes of images and the choice of regions come from torch's own generators.
    with seeded(seed, "detection", step):
        parts: dict[str, Tensor] = detector(batch.images, batch.targets)
    return torch.stack([*parts.values()]).sum()


@torch.no_grad()
def _estimate_norms(
    options: DetectOptions, detector: nn.Module, images: Sequence[AnnotatedImage], device: torch.device
) -> None:
    steps = range(options.iterations, options.iterations + norm_batches(options))
    batches = training_batches(images, options.batch_size, options.seed, steps, options.workers)
    with seeded(options.seed, "norms"), Progress("norms", len(steps), "batches") as progress:
        update_bn(batches, _OfBatches(detector, device, progress))


class _OfBatches(nn.Module):
    """A detector that takes a whole batch, as `update_bn` gives it."""

    def __init__(self, detector: nn.Module, device: torch.device, progress: Progress) -> None:
        super().__init__()
        self.detector, self.device, self.progress = detector, device, progress

    def forward(self, batch: DetectionBatch) -> None:
        """Pass a batch through, which moves the statistics of the batch norms."""
        batch = batch.to(self.device)
        self.detector(batch.images, batch.targets)
        self.progress.advance()


class _Losses:
    """The loss of each step, as a part of checkpoints."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def state_dict(self) -> dict[str, Any]:
        """The losses."""
        return {"losses": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the losses of a checkpoint."""
        self.values = list(state["losses"])


@torch.no_grad()
def find_objects(
    detector: nn.Module, images: Sequence[AnnotatedImage], workers: int, device: torch.device
) -> list[Detections]:
    """What a detector finds on each image, in test mode; raises as `training_batches`."""
    detector.eval()
    found = []
    with Progress("test", len(images), "images") as progress:
        for batch in single_images(images, workers):
            (each,) = detector(batch.to(device).images)
            boxes, scores, labels = (each[name].cpu().numpy() for name in ("boxes", "scores", "labels"))
            found.append(Detections(boxes.astype(np.float64), scores.astype(np.float64), labels - 1))
            progress.advance()
    return found
