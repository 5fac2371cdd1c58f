"""What an evaluation measures: two backbones, and labelled images in memory."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from miner.artifacts.runs.files import BACKBONE_FILE, BEST_FILE
from miner.artifacts.runs.inputs import Inputs
from miner.artifacts.runs.networks import TrainedBackbone, load_backbone, starting_backbone
from miner.engine.records import Record
from miner.evaluate.data import LabelledSet, Split, split
from miner.evaluate.options import EvaluateOptions
from miner.images.canvases import load_canvases
from miner.learning.features import pooled_features
from miner.learning.knn import accuracy_percent
from miner.machine.device import resolve_device


@dataclass(frozen=True)
class Subject:
    """A run and the labelled images it is measured with.

    Attributes:
        backbones: "trained" and "random", the weights that the run started from; in eval mode, on `device`.
        split: gallery and test images.
        labels, truth: classes of gallery and test images, int64, on `device`.
        device: where to compute.
    """

    backbones: dict[str, TrainedBackbone]
    split: Split
    labels: Tensor
    truth: Tensor
    device: torch.device

    @property
    def trained(self) -> TrainedBackbone:
        return self.backbones["trained"]

    def pooled(self, name: str, pixels: Tensor, batch_size: int) -> Tensor:
        """Features of images, uint8 (n, 3, side, side), by one of the backbones: float32 (n, width), on `device`."""
        backbone = self.backbones[name]
        return pooled_features(
            backbone.module,
            pixels,
            backbone.mean,
            backbone.std,
            batch_size=batch_size,
            device=self.device,
            title=f"encode, {name}",
        )

    @property
    def class_count(self) -> int:
        return len(self.split.classes)


def open_subject(options: EvaluateOptions, run: Path, inputs: Inputs | None) -> Subject:
    """Load the weights and find the labelled images.

    Args:
        options: as asked.
        run: folder of a finished run.
        inputs: the workspace's own images; needed without `options.gallery`.
    Raises:
        MinerError: the weights are not there, or there are no labels.
    """
    device = resolve_device(options.device)
    backbones = {
        "trained": load_backbone(run, BEST_FILE if options.best else BACKBONE_FILE),
        "random": starting_backbone(run),
    }
    for backbone in backbones.values():
        backbone.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = split(options, inputs, str(backbones["trained"].config["source"]))
    return Subject(backbones, found, labels_of(found.gallery).to(device), labels_of(found.test).to(device), device)


def load_pixels(images: LabelledSet, side: int, workers: int) -> Tensor:
    """Decode to uint8 (n, 3, side, side): the central square."""
    return load_canvases(images.source, images.entries, side, workers, f"decode {images.name}")


def labels_of(images: LabelledSet) -> Tensor:
    """int64 (n,), on the CPU."""
    return torch.tensor([entry.label for entry in images.entries], dtype=torch.long)


def describe(subject: Subject, run: Path, best: bool) -> Record:
    """The settings that all evaluations of a run share, and the accuracy of always naming the most frequent class."""
    majority = torch.bincount(subject.labels).argmax()
    return {
        "run": run.name,
        "weights": "best" if best else "last",
        "random_weights": "those the run started from",
        "mean": list(subject.trained.mean),
        "std": list(subject.trained.std),
        **describe_images(subject.split, subject.trained.image_size),
        "majority": accuracy_percent(majority.expand_as(subject.truth), subject.truth),
    }


def describe_images(found: Split, image_size: int) -> Record:
    """What is measured on which images, and how a backbone sees them."""
    return {
        "unit": "top-1 accuracy in percent",
        "layer": "backbone, pooled",
        "mode": "eval: running statistics, no augmentation, float32",
        "resize": f"shorter side to {image_size} px (bilinear, antialias), central square",
        "gallery": found.gallery.name,
        "test": found.test.name,
        "test_origin": found.origin,
        "queries_seen_unlabelled": found.seen_in_training,
        "n_gallery": len(found.gallery.entries),
        "n_test": len(found.test.entries),
        "classes": len({entry.label for entry in found.gallery.entries}),
        "class_names": found.classes,
    }
