"""Options of `miner export`."""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from miner.options import Options, option


class ExportOptions(Options):
    panel = "basics"

    shard_size: int = option(
        256,
        "Largest size of a shard, in MB. A sample is never cut: one that is larger is a shard alone.",
        ge=1,
        panel="expert",
    )
    shard_count: int | None = option(None, "Most samples in a shard; by size alone if not given.", ge=1, panel="expert")
    seed: int = option(
        0,
        "Seed of the order of the pairs: shuffled over all shards, so that pairs of one image do not meet in one "
        "batch. It is written to the manifest.",
        panel="expert",
    )
    pairs_only: bool = option(False, "Leave the image shards out: each pair sample holds its two images anyway.")
    references: bool = option(
        False,
        "Pair samples name their images by key and shard instead of repeating their bytes. An image that is in "
        "many pairs is then stored once.",
    )
    max_degree: int | None = option(None, "Export at most so many pairs of one image, the most similar first.", ge=1)
    exclude: Path | None = option(
        None,
        "decisions.jsonl of `miner review`: leave out the pairs that more reviewers call different than same.",
        decides_result=False,
    )
    to: str | None = option(
        None,
        "Write to another folder or any fsspec URL (s3://BUCKET/NAME, gs://, hf://, sftp://...) instead of shards/ "
        "in the workspace. Object stores show only whole files; elsewhere a file is uploaded aside and renamed.",
        decides_result=False,
    )
    workers: int = option(
        1,
        "Processes that write shards. The bytes are the same for any number.",
        ge=1,
        panel="processes",
        decides_result=False,
    )
    engine_address: str | None = option(
        None,
        "Write the shards on a Ray cluster: auto, or ray://HOST:PORT. Needs the extra `ray`.",
        panel="processes",
        decides_result=False,
    )

    @model_validator(mode="after")
    def _references_need_images(self) -> Self:
        if self.references and self.pairs_only:
            raise ValueError("--references points into the image shards, which --pairs-only leaves out; choose one.")
        return self
