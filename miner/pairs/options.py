"""Options of `miner pairs` and `miner calibrate`."""

from itertools import chain
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from miner.artifacts.pairs.band import Band
from miner.machine.memory import parse_bytes
from miner.options import Cosine, Options, flag_name

_APPROXIMATE = {"ivf": ("recall", "nlist", "nprobe"), "hnsw": ("recall", "links", "ef_construction", "ef_search")}


class PairsOptions(Options):
    min: Cosine = Field(
        0.97,
        description="Lowest cosine similarity of a pair.",
        json_schema_extra={"decides_result": False},
    )
    max: Cosine = Field(
        0.99,
        description="Highest; pairs above it count as duplicates.",
        json_schema_extra={"decides_result": False},
    )
    auto: bool = Field(
        False,
        description="Take the band that `miner calibrate` proposes instead of --min and --max.",
        json_schema_extra={"decides_result": False},
    )
    sample: float | None = Field(
        None,
        gt=0,
        description="Mine among a random part of the images only: a fraction up to 1, or a count (SePP-ID: 0.1).",
    )
    top_k: int | None = Field(None, ge=1, description="At most so many partners per image, the most similar first.")
    most_similar: int | None = Field(
        None,
        ge=1,
        description="Keep only so many pairs of the band, the most similar ones; all if there are fewer.",
        json_schema_extra={"decides_result": "if changed"},
    )
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
        json_schema_extra={"decides_result": "if changed"},
    )
    both_orders: bool = Field(
        False,
        description="Write each pair as (a, b) and as (b, a), as SePP-ID lists them; later stages take both.",
        json_schema_extra={"decides_result": "if changed"},
    )
    engine: Literal["exact", "faiss", "ivf", "hnsw"] = Field(
        "exact",
        description="exact: every pair, fastest up to a few million images. faiss: the same pairs from a FAISS flat index. ivf: "
        "most of the pairs, in a time that grows with n^1.5, for more images than that. hnsw: the same from a graph, for bands "
        "with few pairs per image. ivf and hnsw measure their recall and report it.",
    )
    recall: float = Field(
        0.98,
        gt=0,
        le=1,
        description="Share of the pairs that ivf and hnsw should find: they look as far as it takes on 1,000 random images. "
        "What is reported is measured on 1,000 others.",
    )
    nlist: int | None = Field(None, ge=1, description="Cells of ivf (default: 4 times the square root of the images).")
    nprobe: int | None = Field(None, ge=1, description="Cells where ivf looks, in place of --recall.")
    links: int = Field(32, ge=2, description="Links of a row in the graph of hnsw (M): more cost memory and find more.")
    ef_construction: int = Field(100, ge=1, description="Candidates for the links while hnsw builds its graph.")
    ef_search: int | None = Field(None, ge=1, description="Candidates while hnsw searches, in place of --recall.")
    device: str = Field(
        "auto",
        description="auto, cpu, cuda, cuda:1, mps.",
        json_schema_extra={"decides_result": False},
    )
    seed: int = Field(0, description="Seed of --sample, and of what ivf and hnsw draw at random.")
    memory: str | None = Field(
        None,
        description="Memory to use beside the imported libraries, such as 512MB or 8GB; vectors that do not fit are read again "
        "from disk (default: 60 % of what is free). Only the exact engine keeps to it.",
        json_schema_extra={"decides_result": False},
    )
    append: bool = Field(
        False,
        description="The pairs are there already and images were embedded since: search only the new images against all.",
        json_schema_extra={"decides_result": False},
    )
    engine_address: str | None = Field(
        None,
        description="Search the strips on a Ray cluster: auto, or ray://HOST:PORT (extra `ray`).",
        json_schema_extra={"decides_result": False},
    )
    max_pairs: int = Field(
        50_000_000,
        ge=1,
        description="Stop with an explanation when the band holds more pairs than this; nothing is cut.",
        json_schema_extra={"decides_result": False},
    )

    @property
    def band(self) -> Band:
        """The band of --min and --max; --auto takes another one."""
        return Band(self.min, self.max)

    @field_validator("memory")
    @classmethod
    def _memory_is_a_size(cls, memory: str | None) -> str | None:
        if memory is not None:
            parse_bytes(memory)
        return memory

    def approximation(self) -> dict[str, Any]:
        """The engine and its options where they decide which pairs are found; empty for the exact engines."""
        names = _APPROXIMATE.get(self.engine)
        return self.model_dump(mode="json", include={"engine", *names}) if names else {}

    def request(self) -> dict[str, Any]:
        """As of all options; the engine and its options are left out where they do not decide which pairs are found."""
        foreign = {"engine", *chain(*_APPROXIMATE.values())} - self.approximation().keys()
        return {name: value for name, value in super().request().items() if name not in foreign}

    @model_validator(mode="after")
    def _engine_has_its_options(self) -> Self:
        for name, field in type(self).model_fields.items():
            owners = [engine for engine, names in _APPROXIMATE.items() if name in names]
            if owners and self.engine not in owners and getattr(self, name) != field.default:
                raise ValueError(f"{flag_name(name)} belongs to --engine {' or '.join(owners)}, not to {self.engine}")
        if self.append and self.engine in _APPROXIMATE:
            raise ValueError(
                f"--append needs an exact engine: what {self.engine} finds among old images depends on the new ones"
            )
        return self

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
    batch_size: int = Field(
        64, ge=1, description="Images per forward pass.", json_schema_extra={"short": "-b", "decides_result": False}
    )
    device: str = Field(
        "auto",
        description="auto, cpu, cuda, cuda:1, mps.",
        json_schema_extra={"decides_result": False},
    )
    seed: int = Field(0, description="Seed of the augmentations and of the sampled images.")
