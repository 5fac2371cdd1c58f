"""Options of `miner export`."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from miner.options import Options


class ExportOptions(Options):
    panel = "basics"

    shard_size: int = Field(
        256,
        ge=1,
        description="Largest size of a shard, in MB. A sample is never cut: one that is larger is a shard alone.",
        json_schema_extra={"panel": "expert"},
    )
    shard_count: int | None = Field(
        None,
        ge=1,
        description="Most samples in a shard; by size alone if not given.",
        json_schema_extra={"panel": "expert"},
    )
    seed: int = Field(
        0,
        description="Seed of the order of the pairs: shuffled over all shards, so that pairs of one image do not meet in one "
        "batch. It is written to the manifest.",
        json_schema_extra={"panel": "expert"},
    )
    pairs_only: bool = Field(
        False, description="Leave the image shards out: each pair sample holds its two images anyway."
    )
    references: bool = Field(
        False,
        description="Pair samples name their images by key and shard instead of repeating their bytes. An image that is in "
        "many pairs is then stored once.",
    )
    max_degree: int | None = Field(
        None, ge=1, description="Export at most so many pairs of one image, the most similar first."
    )
    exclude: Path | None = Field(
        None,
        description="decisions.jsonl of `miner review`: leave out the pairs that more reviewers call different than same.",
        json_schema_extra={"decides_result": False},
    )
    to: str | None = Field(
        None,
        description="Write to another folder or any fsspec URL (s3://BUCKET/NAME, gs://, hf://, sftp://...) instead of shards/ "
        "in the workspace. Object stores show only whole files; elsewhere a file is uploaded aside and renamed.",
        json_schema_extra={"decides_result": False},
    )
    workers: int = Field(
        1,
        ge=1,
        description="Processes that write shards. The bytes are the same for any number.",
        json_schema_extra={"panel": "processes", "decides_result": False},
    )
    engine_address: str | None = Field(
        None,
        description="Write the shards on a Ray cluster: auto, or ray://HOST:PORT. Needs the extra `ray`.",
        json_schema_extra={"panel": "processes", "decides_result": False},
    )

    @model_validator(mode="after")
    def _references_need_images(self) -> Self:
        if self.references and self.pairs_only:
            raise ValueError("--references points into the image shards, which --pairs-only leaves out; choose one.")
        return self
