"""Options of `miner train`."""

from typing import Literal

from pydantic import Field

from miner.options import Fraction, Options


class TrainOptions(Options):
    method: Literal["moco"] = Field("moco", description="Self-supervised method.")
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$",
        description="Name of the run (letters, digits, . _ -); the method's name if not given.",
    )
    epochs: int = Field(
        100, ge=1, description="Passes over own-view items and semantic pairs.", json_schema_extra={"short": "-e"}
    )
    batch_size: int = Field(
        256,
        ge=2,
        description="Items per step; lowered, and said so, for few images.",
        json_schema_extra={"short": "-b"},
    )
    pairs_arm: Literal["semantic", "none"] = Field(
        "semantic", description="semantic: own views and mined pairs; none: own views only, the control."
    )
    backbone: Literal["resnet18", "resnet34", "resnet50"] = Field("resnet18", description="Encoder to pretrain.")
    stem: Literal["auto", "cifar", "imagenet"] = Field(
        "auto",
        description="First layers: cifar (3x3, no pooling) or imagenet (7x7 and pooling); auto goes by the image size.",
    )
    image_size: int | None = Field(
        None, ge=16, description="Side of a training view in pixels; by the images if not given."
    )
    lr: float = Field(0.03, gt=0, description="Learning rate at batch 256; it scales with the batch.")
    weight_decay: float = Field(5e-4, ge=0, description="Weight decay on every parameter.")
    momentum: Fraction = Field(0.99, description="Of the key encoder (exponential moving average).")
    temperature: float = Field(0.1, gt=0, description="Of the contrastive loss.")
    queue_size: int = Field(
        4096, ge=1, description="Negative keys kept; cut to whole batches and a quarter of the images."
    )
    dim: int = Field(128, ge=2, description="Width of the projection.")
    symmetric: bool = Field(False, description="Use both views as query and key (twice the work per step).")
    limit: int | None = Field(
        None, ge=2, description="Train on the first so many images only (and the pairs among them)."
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    workers: int = Field(0, ge=0, description="Threads that decode images; 0 means one per core, at most 8.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto is bf16 where the device has it natively."
    )
    checkpoint_steps: int = Field(
        500, ge=1, description="Most steps between checkpoints; a rerun continues from the last."
    )
    seed: int = Field(0, description="Seed of weights, order and augmentations.")
