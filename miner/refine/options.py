"""Options of `miner refine` and `miner eval graph`."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from miner.machine.memory import parse_bytes
from miner.options import Fraction, Options


class RefineOptions(Options):
    panel = "basics"

    neighbors: int = Field(
        10,
        ge=1,
        description="Nearest neighbours of each image, by exact cosine, that become its edges.",
        json_schema_extra={"panel": "graph"},
    )
    graph: Literal["symmetric", "directed", "mutual"] = Field(
        "symmetric",
        description="directed: an image receives from its own nearest neighbours. symmetric: it also receives from the "
        "images that have it as a neighbour. mutual: only edges that both images have; some images are then "
        "left without an edge.",
        json_schema_extra={"panel": "graph"},
    )
    cosine_weights: bool = Field(
        False,
        description="Weight each edge by its cosine (0 if negative), instead of all edges equally. Not for gat.",
        json_schema_extra={"panel": "graph"},
    )
    conv: Literal["gcn", "sage", "gat", "gin"] = Field(
        "gcn",
        description="Graph convolution. gcn and sage are fast; gat is several times slower on a CPU.",
        json_schema_extra={"panel": "network"},
    )
    layers: int = Field(
        2,
        ge=1,
        le=3,
        description="Layers of the network: an image receives from images at most this many edges away.",
        json_schema_extra={"panel": "network"},
    )
    dim: int = Field(512, ge=1, description="Width of each layer.", json_schema_extra={"panel": "network"})
    jump: Literal["last", "max", "concat"] = Field(
        "max",
        description="How the layers become one output: the last layer, the maximum over all layers, or all of them "
        "concatenated.",
        json_schema_extra={"panel": "network"},
    )
    epochs: int = Field(
        100, ge=1, description="Passes over all images. If the whole graph fits into memory, a pass is one step."
    )
    lr: float = Field(
        1e-3, gt=0, description="Learning rate of Adam, constant.", json_schema_extra={"panel": "optimizer"}
    )
    momentum: Fraction = Field(
        0.99, description="Momentum of the target network, per step.", json_schema_extra={"panel": "optimizer"}
    )
    feature_mask: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of the features that a view sets to 0, drawn anew for each view and step.",
        json_schema_extra={"panel": "views"},
    )
    edge_drop: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of the edges that a view leaves out, drawn anew for each view and epoch.",
        json_schema_extra={"panel": "views"},
    )
    batch_size: int | None = Field(
        None,
        ge=2,
        description="Images per step; their neighbours are sampled. If not given: all images if they fit into --memory, "
        "else 4096.",
        json_schema_extra={"panel": "processes", "short": "-b"},
    )
    fanout: int = Field(
        10,
        ge=1,
        description="Neighbours to sample per image and layer, where a step is a batch and not the whole graph.",
        json_schema_extra={"panel": "expert"},
    )
    memory: str = Field(
        "8GB",
        description="Memory that a step over all images may take; see --batch-size.",
        json_schema_extra={"panel": "processes"},
    )
    device: str = Field(
        "auto",
        description="auto (a CUDA GPU, else the CPU), cpu, cuda, cuda:1.",
        json_schema_extra={"panel": "processes", "decides_result": False},
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
        description="Refine the features that this graphnnclr run has learned of the same images, instead of the "
        "embeddings. Teacher and student are the two views, each with its own graph; --neighbors is not used.",
    )
    processes: int = Field(
        1,
        ge=1,
        description="Processes that share the images of each step, one per GPU. The result is that of one process, up to "
        "rounding. torchrun --nproc-per-node N -m miner refine ... does the same.",
        json_schema_extra={"panel": "processes", "decides_result": False},
    )


class GraphOptions(RefineOptions):
    test: str | None = Field(
        None,
        description="Labelled images to classify, as a source. If not given: the test set that belongs to a built-in "
        "source.",
        json_schema_extra={"decides_result": False},
    )
    test_limit: int | None = Field(
        None,
        ge=2,
        description="Use only this many test images, the first ones.",
        json_schema_extra={"decides_result": False},
    )
    seeds: int = Field(3, ge=1, description="Number of repetitions, with the seeds --seed, --seed + 1, and so on.")
