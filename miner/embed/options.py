"""Options of `miner embed`."""

from typing import Literal

from pydantic import Field, field_validator

from miner.options import Fraction, Options

Layer = Literal["backbone", "projector", "streams"]
Pool = Literal["auto", "avg", "cls", "max"]


class EmbedOptions(Options):
    panel = "basics"

    source: str = Field(
        description="A folder of images, WebDataset shards (data-{000000..000009}.tar), Parquet files, hf://datasets/ORG/NAME, or "
        "a name: sample, cifar10, cifar100, stl10, fashion-mnist, flowers102, oxford-pets, food101. See docs/sources.md.",
        json_schema_extra={"argument": True},
    )
    encoder: str = Field(
        "efficientnet_lite0",
        description="The frozen network, such as efficientnet_lite0 (works offline), resnet50, dino_resnet50, timm:NAME, "
        "run:FOLDER or onnx:FILE. See docs/encoders.md for all.",
    )
    layer: Layer = Field(
        "backbone",
        description="backbone: the features of the network. projector: the output of the head that was trained on top. streams: "
        "the features of teacher and student of a graphnnclr run, side by side.",
        json_schema_extra={"panel": "expert", "decides_result": "if changed"},
    )
    pool: Pool = Field(
        "auto",
        description="How a feature map or tokens become one vector: the average, the class token, or the maximum. auto: as the "
        "encoder was trained.",
        json_schema_extra={"panel": "expert", "decides_result": "if changed"},
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        description="Images per forward pass. Without it: 16 on a CPU, 512 on a GPU, and half of that where memory runs out. "
        "`miner doctor --encoder NAME` tries several sizes.",
        json_schema_extra={"short": "-b", "decides_result": False},
    )
    device: str = Field(
        "auto",
        description="auto (every GPU, or else the CPU), cpu, cuda, mps, or a list such as cuda:0,cuda:1.",
        json_schema_extra={"decides_result": False},
    )
    workers: int = Field(
        0,
        ge=0,
        description="Threads that decode images, and on a CPU also encode them. 0: one per core, at most 8 with a GPU and 32 on a "
        "CPU.",
        json_schema_extra={"panel": "processes", "decides_result": False},
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="Arithmetic of the encoder. auto: bf16 where the device has it natively, or else fp32.",
        json_schema_extra={"panel": "expert"},
    )
    draft: float | None = Field(
        None,
        ge=1,
        description="Decode JPEGs at 1/2, 1/4 or 1/8 of their size, if that leaves at least this many pixels per pixel of the "
        "resized image (for example 2). Large photographs then decode several times faster; the vectors change slightly.",
        json_schema_extra={"decides_result": "if changed"},
    )
    compile: bool = Field(
        False,
        description="Compile the encoder with torch.compile. It takes a minute, and encoding is faster after it; the vectors may "
        "change slightly. Needs a C++ compiler on a CPU, Triton on a GPU.",
        json_schema_extra={"panel": "expert", "decides_result": "if changed"},
    )
    max_errors: Fraction = Field(
        0.01,
        description="Stop when a larger share of the images cannot be used. 10 unusable images are always allowed.",
        json_schema_extra={"panel": "expert", "decides_result": False},
    )
    engine_address: str | None = Field(
        None,
        description="Encode on a Ray cluster: auto, or ray://HOST:PORT. Needs the extra `ray`.",
        json_schema_extra={"panel": "processes", "decides_result": False},
    )
    dtype: Literal["float16", "float32"] = Field(
        "float16", description="Type of the stored vectors.", json_schema_extra={"panel": "expert"}
    )
    block_size: int = Field(
        2048,
        ge=1,
        description="Images per output file. An interrupted run continues after its last finished file.",
        json_schema_extra={"panel": "expert"},
    )
    limit: int | None = Field(None, ge=2, description="Use only this many images, from the start of the source.")

    @field_validator("batch_size", mode="before")
    @classmethod
    def _is_a_size(cls, value: object) -> object:
        if value == 0:
            raise ValueError(
                "0 is not a size. `miner doctor --encoder NAME` tries several sizes and names the one to use"
            )
        return value
