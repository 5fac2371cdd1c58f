"""What every evaluation of a run needs: two backbones and labelled images."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from miner.artifacts.embeddings.manifest import SourceRecord
from miner.artifacts.runs.inputs import Inputs
from miner.artifacts.runs.labelled import LabelledSplit, split_labelled
from miner.artifacts.runs.manifest import BACKBONE_FILE, BEST_FILE
from miner.artifacts.runs.networks import TrainedBackbone, load_backbone, starting_backbone
from miner.engine import Record
from miner.evaluate.options import EvaluateOptions
from miner.learning.features import pooled_features
from miner.learning.nearest import accuracy_percent
from miner.machine.device import resolve_device


@dataclass(frozen=True)
class EvaluationSetup:
    """A run and the labelled images that it is evaluated with.

    Attributes:
        backbones: "trained" and "random", the weights that the run started from; in eval mode, on `device`.
        split: gallery and test images.
        labels, truth: classes of gallery and test images, int64, on `device`.
        device: where to compute.
    """

    backbones: dict[str, TrainedBackbone]
    split: LabelledSplit
    labels: Tensor
    truth: Tensor
    device: torch.device

    @property
    def trained(self) -> TrainedBackbone:
        return self.backbones["trained"]

    @property
    def class_count(self) -> int:
        return len(self.split.classes)

    def pixels(self, workers: int) -> tuple[Tensor, Tensor]:
        """Gallery and test images as the backbones take them, uint8 (n, 3, side, side)."""
        side = self.trained.image_size
        return self.split.gallery.pixels(side, workers), self.split.test.pixels(side, workers)

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

    def describe(self, run: Path, best: bool) -> Record:
        """The settings that all evaluations of a run share, and the accuracy of always naming the most frequent class."""
        majority = torch.bincount(self.labels).argmax()
        return {
            "run": run.name,
            "weights": "best" if best else "last",
            "random_weights": "those the run started from",
            "mean": list(self.trained.mean),
            "std": list(self.trained.std),
            **self.split.describe(self.trained.image_size),
            "majority": accuracy_percent(majority.expand_as(self.truth), self.truth),
        }


def open_setup(
    options: EvaluateOptions, run: Path, inputs: Inputs | None, like: SourceRecord | None = None
) -> EvaluationSetup:
    """Load the weights and find the labelled images.

    Args:
        run: folder of a finished run.
        inputs: the workspace's own images; needed without `options.gallery`.
        like: the source of the workspace, whose columns are chosen in other Parquet files too.
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
    split = split_labelled(
        inputs,
        str(backbones["trained"].config["source"]),
        gallery=options.gallery,
        test=options.test,
        test_fraction=options.test_fraction,
        limit=options.limit,
        like=like,
    )
    labels, truth = (side.labels().to(device) for side in (split.gallery, split.test))
    return EvaluationSetup(backbones, split, labels, truth, device)
