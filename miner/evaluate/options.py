"""Options of `miner eval`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from miner.artifacts.runs.labelled import TEST_FRACTION
from miner.options import Fraction, Options, flag_name

WITH_REFINED = {"refined", "test", "limit", "device"}
AUGMENTED_ONLY = ("epochs", "schedule", "seed")


class EvaluateOptions(Options):
    """What every evaluation asks: which weights, and which labelled images."""

    run: str | None = Field(
        None,
        description="Name of the run; the latest if not given.",
        json_schema_extra={"argument": True, "decides_result": False},
    )
    best: bool = Field(
        False,
        description="The weights with the highest kNN of `miner train --knn-epochs`, instead of the last. Optimistic where the "
        "test images are those that chose them. The result is kept beside the other.",
        json_schema_extra={"decides_result": False},
    )
    gallery: str | None = Field(
        None,
        description="Labelled source to learn from: it votes, or trains the linear classifier; the workspace's own source if "
        "not given.",
    )
    test: str | None = Field(
        None, description="Labelled source to classify; the built-in test set, or a held-out part of the gallery."
    )
    test_fraction: Fraction = Field(
        TEST_FRACTION, gt=0, lt=1, description="Held-out part when there is no test set, chosen by key."
    )
    limit: int | None = Field(
        None, ge=2, description="Use only so many images of each source, chosen by key whatever their order."
    )
    refined: bool = Field(
        False,
        description="Judge what `miner refine` wrote instead of a run: its features in three modes, inductive first, beside "
        "the raw ones. The embedded images train, --test is classified, --limit takes the first so many test images.",
    )
    batch_size: int = Field(256, ge=1, description="Images per forward pass.", json_schema_extra={"short": "-b"})
    device: str = Field(
        "auto",
        description="auto, cpu, cuda, cuda:1, mps.",
        json_schema_extra={"decides_result": False},
    )
    workers: int = Field(
        0,
        ge=0,
        description="Threads that decode images; 0 means one per core, at most 8.",
        json_schema_extra={"decides_result": False},
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
        description="fast: logistic regression on features that are computed once; minutes, and right for comparing runs. "
        "augmented: the published protocol, SGD over random crops; as long as --epochs of forward passes, for numbers beside "
        "those of papers.",
    )
    validation_fraction: Fraction = Field(
        0.1,
        gt=0,
        lt=1,
        description="Part of the gallery, chosen by key, that the learning rate or the L2 penalty is chosen on; test images "
        "choose nothing.",
    )
    epochs: int = Field(100, ge=1, description="augmented: passes over the gallery.", json_schema_extra={"short": "-e"})
    schedule: Literal["cosine", "step"] = Field(
        "cosine",
        description="augmented: the learning rate falls along a cosine, or by 10 after 60 % and 80 % of the steps.",
    )
    seed: int = Field(0, description="augmented: seed of the order and of the crops.")

    @model_validator(mode="after")
    def _refuse_what_fast_has_not(self) -> Self:
        for name in AUGMENTED_ONLY:
            if self.mode == "fast" and name in self.model_fields_set:
                raise ValueError(f"{flag_name(name)} belongs to --mode augmented; the fast mode has no such setting")
        return self
