"""Options of `miner eval`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from miner.artifacts.runs.labelled import TEST_FRACTION
from miner.options import Fraction, Options, flag_name

WITH_REFINED = {"refined", "test", "limit", "device"}
AUGMENTED_ONLY = ("epochs", "schedule", "seed")


class EvaluateOptions(Options):
    """What every evaluation asks: which weights, and which labelled images."""

    panel = "basics"

    run: str | None = Field(
        None,
        description="Name of the run. If not given: the latest run.",
        json_schema_extra={"argument": True, "decides_result": False},
    )
    best: bool = Field(
        False,
        description="Evaluate the weights with the best kNN accuracy of `miner train --knn-epochs`, instead of the last "
        "weights. If the same test images chose them, the accuracy is optimistic. Both results are kept.",
        json_schema_extra={"decides_result": False},
    )
    gallery: str | None = Field(
        None,
        description="Labelled images that vote, or that train the linear classifier, as a source. If not given: the "
        "workspace's own images.",
    )
    test: str | None = Field(
        None,
        description="Labelled images to classify, as a source. If not given: the test set of a built-in source, or else a "
        "held-out part of the gallery.",
    )
    test_fraction: Fraction = Field(
        TEST_FRACTION,
        gt=0,
        lt=1,
        description="Share of the gallery that is held out if there is no test set. It is chosen by key.",
    )
    limit: int | None = Field(None, ge=2, description="Use only this many images of each source, chosen by key.")
    refined: bool = Field(
        False,
        description="Evaluate the features of `miner refine` in three modes, beside the raw ones, instead of a run. The "
        "embedded images are the gallery, --test is classified, and --limit takes the first test images.",
    )
    batch_size: int = Field(
        256, ge=1, description="Images per forward pass.", json_schema_extra={"panel": "processes", "short": "-b"}
    )
    device: str = Field(
        "auto",
        description="auto, cpu, cuda, cuda:1, mps.",
        json_schema_extra={"panel": "processes", "decides_result": False},
    )
    workers: int = Field(
        0,
        ge=0,
        description="Threads that decode images. 0: one per core, at most 8.",
        json_schema_extra={"panel": "processes", "decides_result": False},
    )

    @model_validator(mode="after")
    def _refuse_what_refined_has_not(self) -> Self:
        if self.refined and (foreign := sorted(self.model_fields_set - WITH_REFINED)):
            name = "RUN" if foreign[0] == "run" else flag_name(foreign[0])
            raise ValueError(
                f"{name} has no meaning with --refined, which takes the embedded images and knows "
                "--test, --limit and --device"
            )
        return self


class KnnOptions(EvaluateOptions):
    """Nothing beyond what every evaluation asks: both protocols are always measured."""


class LinearOptions(EvaluateOptions):
    """Options that belong to `augmented` alone are refused in the other mode."""

    mode: Literal["fast", "augmented"] = Field(
        "fast",
        description="fast: logistic regression on features that are computed once. It takes minutes, and suits "
        "comparisons of runs. augmented: the published protocol, SGD over random crops. It takes --epochs "
        "forward passes, and suits comparisons with papers.",
    )
    validation_fraction: Fraction = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of the gallery, chosen by key, on which the learning rate or the L2 penalty is chosen. Test "
        "images choose nothing.",
    )
    epochs: int = Field(
        100, ge=1, description="Passes over the gallery.", json_schema_extra={"panel": "augmented mode", "short": "-e"}
    )
    schedule: Literal["cosine", "step"] = Field(
        "cosine",
        description="The learning rate falls along a cosine, or by a factor of 10 after 60 % and after 80 % of the steps.",
        json_schema_extra={"panel": "augmented mode"},
    )
    seed: int = Field(
        0,
        description="Seed of the order of the images and of the crops.",
        json_schema_extra={"panel": "augmented mode"},
    )

    @model_validator(mode="after")
    def _refuse_what_fast_has_not(self) -> Self:
        for name in AUGMENTED_ONLY:
            if self.mode == "fast" and name in self.model_fields_set:
                raise ValueError(f"{flag_name(name)} belongs to --mode augmented; the fast mode has no such setting")
        return self
