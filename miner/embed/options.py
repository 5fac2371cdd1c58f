"""Options of `miner embed`."""

from typing import Literal

from pydantic import Field, field_validator

from miner.options import Fraction, Options

Layer = Literal["backbone", "projector", "streams"]
Pool = Literal["auto", "avg", "cls", "max"]


class EmbedOptions(Options):
    source: str = Field(
        description="Folder of images, WebDataset shards (data-{000000..000009}.tar), Parquet, hf://datasets/ORG/NAME, or a "
        "name: sample, cifar10, cifar100, stl10, fashion-mnist, flowers102, oxford-pets, food101.",
        json_schema_extra={"argument": True},
    )
    encoder: str = Field(
        "efficientnet_lite0",
        description="efficientnet_lite0 (works offline), efficientnet_lite1, efficientnet_lite2; a torchvision classifier "
        "(resnet50, resnet50:IMAGENET1K_V1); timm:NAME; dino_resnet50, vicreg_resnet50, swav_resnet50, barlow_resnet50; moco:FILE; "
        "run:FOLDER (of `miner train`); onnx:FILE. NAME@FILE takes the weights from a local file.",
    )
    layer: Layer = Field(
        "backbone",
        description="projector keeps the head that was trained on top, if there is one; streams puts teacher and student of a "
        "graphnnclr run side by side.",
        json_schema_extra={"decides_result": "if changed"},
    )
    pool: Pool = Field(
        "auto",
        description="auto is what the encoder was trained with; avg, cls or max choose, where it gives more.",
        json_schema_extra={"decides_result": "if changed"},
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
        description="auto (every GPU, else the CPU), cpu, cuda, mps, or a list: cuda:0,cuda:1.",
        json_schema_extra={"decides_result": False},
    )
    workers: int = Field(
        0,
        ge=0,
        description="Threads that decode images, and on a CPU also encode them; 0 means one per core, at most 8 for a GPU and 32 "
        "on a CPU.",
        json_schema_extra={"decides_result": False},
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Arithmetic of the encoder; auto is bf16 where the device has it natively."
    )
    draft: float | None = Field(
        None,
        ge=1,
        description="Decode JPEGs at 1/2, 1/4 or 1/8 of their size where that leaves at least so many pixels per pixel of the "
        "resized image, say 2: several times faster for large photographs, at slightly other vectors. Off if not given.",
        json_schema_extra={"decides_result": "if changed"},
    )
    compile: bool = Field(
        False,
        description="Let torch.compile make one program of the encoder: a minute of compiling, faster after it, at slightly "
        "other vectors. Needs a C++ compiler on a CPU, Triton on a GPU.",
        json_schema_extra={"decides_result": "if changed"},
    )
    max_errors: Fraction = Field(
        0.01,
        description="Share of the images that may be unusable before the run stops (10 images always may).",
        json_schema_extra={"decides_result": False},
    )
    engine_address: str | None = Field(
        None,
        description="Run the blocks on a Ray cluster: auto, or ray://HOST:PORT (extra `ray`).",
        json_schema_extra={"decides_result": False},
    )
    dtype: Literal["float16", "float32"] = Field("float16", description="How vectors are stored.")
    block_size: int = Field(2048, ge=1, description="Images per output file, which is also the unit of resuming.")
    limit: int | None = Field(None, ge=2, description="Use only the first so many images of the source.")

    @field_validator("batch_size", mode="before")
    @classmethod
    def _is_a_size(cls, value: object) -> object:
        if value == 0:
            raise ValueError(
                "0 is not a size. `miner doctor --encoder NAME` tries several sizes and names the one to use"
            )
        return value
