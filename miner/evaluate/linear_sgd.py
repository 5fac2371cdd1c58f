"""The linear protocol of papers: SGD on frozen features of random crops, with several learning rates side by side."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from miner.artifacts.runs.networks import TrainedBackbone
from miner.engine import Progress, Record
from miner.evaluate.options import LinearOptions
from miner.evaluate.setup import EvaluationSetup
from miner.evaluate.sgd_grid import LR_BATCH, LRS, MOMENTUM, train_grid
from miner.evaluate.validation import choice_record
from miner.images.augment.crop import crop_and_resize, crop_boxes
from miner.images.canvases import to_device
from miner.images.normalise import normalise
from miner.learning.knn import accuracy_percent
from miner.learning.randomness import generator_for
from miner.learning.selection import Candidate, best_candidate

AREA = (0.08, 1.0)


def measure_sgd(options: LinearOptions, setup: EvaluationSetup, validation: Tensor) -> Record:
    """Train and test on both backbones.

    Args:
        options: of the evaluation.
        setup: the run and its labelled images.
        validation: bool (n_gallery,), on the device; the images that the learning rate is chosen on.
    """
    gallery, test = setup.split.gallery, setup.split.test
    chosen = [entry for entry, held_out in zip(gallery.entries, validation.tolist(), strict=True) if held_out]
    side = setup.trained.image_size
    plain = [images.pixels(side, options.workers) for images in (replace(gallery, entries=chosen), test)]
    canvases = to_device(gallery.pixels(int(setup.trained.config["canvas"]), options.workers), setup.device)
    results = {}
    for name, backbone in setup.backbones.items():
        held_out, queries = (setup.pooled(name, pixels, options.batch_size) for pixels in plain)
        crops = CropFeatures(backbone, canvases, options.seed, setup.device)
        with Progress(f"linear, {name}", total=options.epochs * len(canvases), item="images") as progress:
            grid = train_grid(
                *(options, crops, setup.labels, validation, queries.shape[1], setup.class_count, progress)
            )
        accuracies = [_accuracy(layer, held_out, setup.labels[validation]) for layer in grid.choosing]
        candidates = [Candidate(lr, accuracy) for lr, accuracy in zip(LRS, accuracies, strict=True)]
        reported = grid.reported[candidates.index(best_candidate(candidates))]
        results[name] = choice_record("lr", candidates, _accuracy(reported, queries, setup.truth))
    return {
        "protocol": "augmented",
        "classifier": f"linear layer by SGD: momentum {MOMENTUM}, no weight decay, {options.epochs} epochs, batch "
        f"{options.batch_size}, {options.schedule} schedule from lr x batch / {LR_BATCH}; for each lr one without the validation "
        "images, to choose by, and one on all training images, to report",
        "train_crops": f"random resized crops of {AREA[0]:.0%} to {AREA[1]:.0%} of the area, half of them flipped",
        "norm": "none",
        "setting": "lr",
        "results": results,
    }


class CropFeatures:
    """Frozen features of random crops; every step has other crops."""

    def __init__(self, backbone: TrainedBackbone, images: Tensor, seed: int, device: torch.device) -> None:
        self.backbone, self.images, self.seed, self.device = backbone, images, seed, device

    @torch.no_grad()
    def __call__(self, rows: Tensor, step: int) -> Tensor:
        """Features of the images in these rows: int64 (batch,) on the CPU -> float32 (batch, width)."""
        generator = generator_for(self.seed, "linear crops", step)
        boxes = crop_boxes(len(rows), self.images.shape[-1], AREA, generator).to(self.device)
        flipped = (torch.rand(len(rows), generator=generator) < 0.5).to(self.device)
        pixels = self.images[rows.to(self.images.device)].to(self.device, non_blocking=True)
        views = crop_and_resize(pixels, boxes, flipped, self.backbone.image_size).div_(255.0)
        features: Tensor = self.backbone.module(normalise(views, self.backbone.mean, self.backbone.std))
        return features.float()


@torch.no_grad()
def _accuracy(layer: nn.Linear, features: Tensor, truth: Tensor) -> float:
    return accuracy_percent(layer(features).argmax(dim=1), truth)
