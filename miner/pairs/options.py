"""Options of `miner pairs` and `miner calibrate`."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from miner.memory import parse_bytes
from miner.options import Cosine, Options


class PairsOptions(Options):
    min: Cosine = Field(0.97, description="Lowest cosine similarity of a pair.")
    max: Cosine = Field(0.99, description="Highest; pairs above it count as duplicates.")
    auto: bool = Field(False, description="Take the band that `miner calibrate` proposes instead of --min and --max.")
    sample: float | None = Field(
        None,
        gt=0,
        description="Mine among a random part of the images only: a fraction up to 1, or a count (SePP-ID: 0.1).",
    )
    top_k: int | None = Field(None, ge=1, description="At most so many partners per image, the most similar first.")
    mutual: bool = Field(
        False,
        description="Keep only pairs whose images are among each other's k nearest neighbours (k of --neighbors, else 5).",
    )
    neighbors: int | None = Field(
        None,
        ge=1,
        description="Also write the exact graph of the k nearest neighbours of every image, and report its hubs.",
    )
    groups: bool = Field(
        False,
        description="Also write which images belong together: connected components, and groups by complete linkage.",
    )
    both_orders: bool = Field(
        False, description="Write each pair as (a, b) and as (b, a), as SePP-ID lists them; later stages take both."
    )
    engine: Literal["exact", "faiss"] = Field("exact", description="Search engine; both give the same pairs.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    seed: int = Field(0, description="Seed of --sample.")
    memory: str | None = Field(
        None,
        description="Memory to use beside the imported libraries, such as 512MB or 8GB; vectors that do not fit are read again "
        "from disk (default: 60 % of what is free). Only the exact engine keeps to it.",
    )
    append: bool = Field(
        False,
        description="The pairs are there already and images were embedded since: search only the new images against all.",
    )
    engine_address: str | None = Field(
        None, description="Search the strips on a Ray cluster: auto, or ray://HOST:PORT (extra `ray`)."
    )
    max_pairs: int = Field(
        50_000_000,
        ge=1,
        description="Stop with an explanation when the band holds more pairs than this; nothing is cut.",
    )

    @field_validator("memory")
    @classmethod
    def _memory_is_a_size(cls, memory: str | None) -> str | None:
        if memory is not None:
            parse_bytes(memory)
        return memory

    @model_validator(mode="after")
    def _band_is_ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"--min {self.min} is above --max {self.max}; a band needs --min <= --max")
        if self.append and self.sample is not None:
            raise ValueError(
                "--append continues with all images, and --sample would draw others; leave out one of them"
            )
        if self.auto and self.model_fields_set & {"min", "max"}:
            raise ValueError(
                "--auto takes the band of `miner calibrate`; leave --min and --max out, or leave out --auto"
            )
        return self


class CalibrateOptions(Options):
    budget: float = Field(1.0, gt=0, description="Pairs to aim for, per image.")
    images: int = Field(
        256, ge=8, description="Images whose mild augmentations are encoded to find where duplicates begin."
    )
    batch_size: int = Field(64, ge=1, description="Images per forward pass.", json_schema_extra={"short": "-b"})
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    seed: int = Field(0, description="Seed of the augmentations and of the sampled images.")
