"""Options of the evaluations that take a network: of a run, of torchvision or timm, or with random weights."""

from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from miner.artifacts.runs.labelled import TEST_FRACTION
from miner.options import Fraction, Names, Options, option


class NetworkOptions(Options):
    """Which network is judged, and where it computes."""

    panel = "basics"

    run: str | None = option(None, argument=True, decides_result=False)
    """Name of the run. If not given: the latest run."""
    network: str | None = option(None)
    """Judge this network instead of a run, named as in `miner embed --encoder`: resnet50, timm:NAME, NAME@FILE. random:NAME has
    random weights."""
    best: bool = option(False, decides_result=False)
    """Judge the weights with the best kNN accuracy of `miner train --knn-epochs`, instead of the last weights."""
    teacher: bool = option(False, decides_result=False)
    """Judge the teacher of dino or graphnnclr, or the key encoder of patchmix, instead of the student."""
    batch_size: int = option(256, ge=1, panel="processes", short="-b")
    """Images per step."""
    device: str = option("auto", panel="processes", decides_result=False)
    """auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps."""
    workers: int = option(0, ge=0, panel="processes", decides_result=False)
    """Threads that decode images. 0: one per core."""

    @model_validator(mode="after")
    def _choose_one_network(self) -> Self:
        given = [name for name in ("run", "network", "best", "teacher") if getattr(self, name)]
        if ("network" in given and len(given) > 1) or {"best", "teacher"} <= {*given}:
            flags = " and ".join("RUN" if name == "run" else f"--{name}" for name in given)
            raise ValueError(f"{flags} name two networks. Give one of them")
        return self


class FinetuneOptions(NetworkOptions):
    """Train a whole network further on few labels, and classify test images: a hundredth or a tenth of the images.

    The same network with random weights is trained beside it, in the same way. An interrupted command continues.

    \b
      miner eval finetune                     1 % of the labels, the latest run
      miner eval finetune --share 0.1
      miner eval finetune --network resnet50 --gallery photos/train --test photos/test
    """

    gallery: str | None = option(None)
    """Labelled images, as a source; the labels that count are chosen among them. If not given: the images of the workspace."""
    test: str | None = option(None)
    """Labelled images to classify, as a source. If not given: the test set of a built-in source, or else a held-out part of the
    gallery."""
    test_fraction: Fraction = option(TEST_FRACTION, gt=0, lt=1)
    """Share of the gallery to hold out if there is no test set."""
    limit: int | None = option(None, ge=2)
    """Use only this many images of each source, chosen by key."""
    share: Fraction = option(0.01, gt=0)
    """Share of the gallery whose labels are used: the same number of each class, at least one, chosen by key. A smaller share is a
    part of a larger one."""
    labels: Path | None = option(None, metavar="FILE")
    """Use the labels of the images in this list instead: a key, a path or a file name a line, as SimCLR's lists for ImageNet."""
    seed: int = option(0)
    """Seed of the choice of labels, of the order of the images and of the crops."""
    layer: Literal["backbone", "projector1"] = option("backbone", decides_result="if changed")
    """Where the classifier stands: on the backbone, or on the first layer of the run's projector, which is trained further too
    (SimCLR v2, FNC)."""
    epochs: int | None = option(
        None, ge=1, short="-e", panel="optimizer", shown_default="60 below a share of 5 %, else 30"
    )
    """Passes over the labelled images."""
    lr: float | None = option(None, gt=0, panel="optimizer", shown_default="chosen")
    """Learning rate of the backbone at a batch of 256. If not given: the best of 12 settings on a held-out fifth of the labels."""
    head_lr: float | None = option(None, gt=0, panel="optimizer", shown_default="chosen")
    """Learning rate of the classifier at a batch of 256; it goes with --lr."""

    @property
    def passes(self) -> int:
        """The number of epochs."""
        return self.epochs or (60 if self.share < 0.05 and self.labels is None else 30)

    @model_validator(mode="after")
    def _take_the_projector_of_a_run(self) -> Self:
        if self.layer == "projector1" and (self.network or self.best or self.teacher):
            raise ValueError("--layer projector1 is that of the last weights of a run, so it takes no other network")
        return self

    @model_validator(mode="after")
    def _refuse_halves(self) -> Self:
        if (self.lr is None) != (self.head_lr is None):
            raise ValueError("--lr and --head-lr belong together. Give both or neither")
        if self.labels is not None and "share" in self.model_fields_set:
            raise ValueError("--labels names the images, and --share chooses some. Give one of them")
        return self


class TransferOptions(NetworkOptions):
    """Classify other data sets by logistic regression on frozen features. Each set has a record and a verdict.

    The penalty is chosen among 45 on validation images: the official ones where a set has them, or else a tenth of the training
    images, by key. A set is TRAIN, TRAIN,TEST or TRAIN,VALIDATION,TEST, each of them a source.

    \b
      miner eval transfer --sets fashion-mnist flowers102      the latest run
      miner eval transfer moco --sets photos/train,photos/test
      miner eval transfer --network efficientnet_lite0 --sets oxford-pets
    """

    sets: Names = option(..., decides_result=False, metavar="SOURCE...")
    """Data sets to classify. If TEST is not given: the test set of a built-in source, or else a fifth of the images, by key."""
    metric: Literal["auto", "top1", "per_class"] = option("auto")
    """Accuracy over all test images, or the mean of the accuracies of the classes. auto: per_class for flowers102,
    oxford-pets and aircraft, as is usual, else top1."""
    limit: int | None = option(None, ge=2)
    """Use only this many images of each source, chosen by key."""
    pretraining: str | None = option(None)
    """Images that the network was trained on, as a source or a workspace: test images among them are counted. If not given: the
    workspace of the run."""
    overlap: bool = option(True)
    """Do not count the test images that the network was trained on."""
