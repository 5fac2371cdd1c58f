"""What every evaluation of a run needs: two backbones and labelled images."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from miner.artifacts.embeddings.manifest import SourceRecord
from miner.artifacts.runs.inputs import Inputs
from miner.artifacts.runs.labelled import LabelledImages, LabelledSplit, split_labelled
from miner.artifacts.runs.manifest import BACKBONE_FILE, BEST_FILE, TEACHER_FILE
from miner.artifacts.runs.networks import TrainedBackbone, load_backbone, load_projector, starting_backbone
from miner.engine import Record
from miner.errors import MinerError
from miner.evaluate.options import EvaluateOptions
from miner.learning.features import pooled_features
from miner.learning.nearest import accuracy_percent
from miner.machine.device import resolve_device

_FILES = {"last": BACKBONE_FILE, "best": BEST_FILE, "teacher": TEACHER_FILE}
_LAYERS = {"backbone": "backbone, pooled", "projector": "projector, output"}


@dataclass(frozen=True)
class EvaluationSetup:
    """A run and the labelled images that it is evaluated with.

    Attributes:
        backbones: "trained" and "random", the weights that the run started from; in eval mode, on `device`.
        split: gallery and test images.
        labels, truth: classes of gallery and test images, int64, on `device`.
        layer: where the features come from, in words.
        device: where to compute.
        test_crop: side of the centre crop over the short side of an image.
    """

    backbones: dict[str, TrainedBackbone]
    split: LabelledSplit
    labels: Tensor
    truth: Tensor
    layer: str
    device: torch.device
    test_crop: float

    @property
    def trained(self) -> TrainedBackbone:
        return self.backbones["trained"]

    @property
    def class_count(self) -> int:
        return len(self.split.classes)

    def pixels(self, workers: int) -> tuple[Tensor, Tensor]:
        """Gallery and test images as the backbones take them, uint8 (n, 3, side, side)."""
        gallery, test = self.split.gallery, self.split.test
        return self.squares(gallery, workers), self.squares(test, workers)

    def squares(self, images: LabelledImages, workers: int) -> Tensor:
        """Labelled images as the backbones take them, uint8 (n, 3, side, side)."""
        return images.pixels(self.trained.image_size, workers, self.test_crop)

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

    def describe(self, run: Path, options: EvaluateOptions) -> Record:
        """The settings that all evaluations of a run share, and the accuracy of always naming the most frequent class."""
        majority = torch.bincount(self.labels).argmax()
        return {
            "run": run.name,
            "weights": options.weights,
            "random_weights": "those the run started from",
            "mean": list(self.trained.mean),
            "std": list(self.trained.std),
            **self.split.describe(self.trained.image_size, self.test_crop),
            "layer": self.layer,
            "majority": accuracy_percent(majority.expand_as(self.truth), self.truth),
        }


def open_setup(
    options: EvaluateOptions,
    run: Path,
    inputs: Inputs | None,
    like: SourceRecord | None = None,
    layer: str = "backbone",
) -> EvaluationSetup:
    """Load the weights and find the labelled images.

    Args:
        run: folder of a finished run.
        inputs: the workspace's own images; needed without `options.gallery`.
        like: the source of the workspace, whose columns are chosen in other Parquet files too.
        layer: backbone or projector.
    Raises:
        MinerError: the weights are not there, or there are no labels.
    """
    device = resolve_device(options.device)
    backbones = {"trained": load_backbone(run, _FILES[options.weights]), "random": starting_backbone(run)}
    if layer == "projector":
        backbones = _with_projectors(backbones, run)
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
    return EvaluationSetup(backbones, split, labels, truth, _LAYERS[layer], device, options.test_crop)


def _with_projectors(backbones: dict[str, TrainedBackbone], run: Path) -> dict[str, TrainedBackbone]:
    """Each backbone under the run's projector; under one with random weights, of the run's seed, if the backbone has such."""
    made = {}
    for name, backbone in backbones.items():
        if (projector := load_projector(run, random=name == "random")) is None:
            raise MinerError(f"The run {run.name} kept no projector. Evaluate --layer backbone.")
        made[name] = replace(backbone, module=nn.Sequential(backbone.module, projector).eval().requires_grad_(False))
    return made
