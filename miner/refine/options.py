"""Options of `miner refine` and `miner eval graph`."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from miner.machine.memory import parse_bytes
from miner.options import Fraction, Options


class RefineOptions(Options):
    neighbors: int = Field(10, ge=1, description="Nearest neighbours that each image is joined to, by cosine; exact.")
    graph: Literal["symmetric", "directed", "mutual"] = Field(
        "symmetric",
        description="symmetric: messages both ways along every edge; directed: an image hears its own neighbours; mutual: only "
        "images that are each other's neighbours, which leaves some alone.",
    )
    cosine_weights: bool = Field(
        False, description="Weigh messages by the cosine (0 if negative) instead of equally; not for gat."
    )
    conv: Literal["gcn", "sage", "gat", "gin"] = Field(
        "gcn", description="Graph convolution. gcn and sage are fast; gat is several times slower on a CPU."
    )
    layers: int = Field(2, ge=1, le=3, description="Rounds of messages: how many hops away an image can be heard.")
    dim: int = Field(512, ge=1, description="Width of each round.")
    jump: Literal["last", "max", "concat"] = Field(
        "max", description="What is kept of the rounds: the last, the largest values of all, or all side by side."
    )
    epochs: int = Field(100, ge=1, description="Passes over all images; a pass is one step where the graph fits.")
    lr: float = Field(1e-3, gt=0, description="Learning rate of Adam; constant.")
    momentum: Fraction = Field(0.99, description="Of the target network, per step.")
    feature_mask: float = Field(
        0.2, ge=0, lt=1, description="Share of the features that a view hides, drawn anew for each view and step."
    )
    edge_drop: float = Field(
        0.2, ge=0, lt=1, description="Share of the edges that a view leaves out, drawn anew for each view and epoch."
    )
    batch_size: int | None = Field(
        None,
        ge=2,
        description="Images per step, with sampled neighbours. If not given: all at once if that fits into --memory, else 4096.",
        json_schema_extra={"short": "-b"},
    )
    fanout: int = Field(
        10, ge=1, description="Neighbours that are sampled per image and round where a step is a batch."
    )
    memory: str = Field("8GB", description="What a step over all images may take; see --batch-size.")
    device: str = Field(
        "auto",
        description="auto (a CUDA GPU, else the CPU), cpu, cuda, cuda:1.",
        json_schema_extra={"decides_result": False},
    )
    seed: int = Field(0, description="Seed of weights, views and batches.")

    @field_validator("memory")
    @classmethod
    def _memory_is_a_size(cls, memory: str) -> str:
        parse_bytes(memory)
        return memory

    @model_validator(mode="after")
    def _gat_weighs_by_itself(self) -> Self:
        if self.cosine_weights and self.conv == "gat":
            raise ValueError("--cosine-weights: gat learns its own weights; leave it out, or choose gcn, sage or gin")
        return self


class RefineStageOptions(RefineOptions):
    run: str | None = Field(
        None,
        description="Refine what a graphnnclr run of this name has learned of the same images, instead of the embeddings: teacher "
        "and student are the two views, each with its own graph; --neighbors has no meaning then.",
    )
    processes: int = Field(
        1,
        ge=1,
        description="Processes that share the images of each step: one per GPU. They train what one would, up to rounding. "
        "torchrun --nproc-per-node N -m miner refine ... does the same.",
        json_schema_extra={"decides_result": False},
    )


class GraphOptions(RefineOptions):
    test: str | None = Field(
        None,
        description="Labelled source to classify; the built-in test set of a built-in source if not given.",
        json_schema_extra={"decides_result": False},
    )
    test_limit: int | None = Field(
        None,
        ge=2,
        description="Use only the first so many test images.",
        json_schema_extra={"decides_result": False},
    )
    seeds: int = Field(3, ge=1, description="Repetitions, with the seeds --seed, --seed + 1, ...")
