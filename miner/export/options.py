"""Options of `miner export` and `miner verify`."""

from pathlib import Path

from pydantic import Field

from miner.options import Options


class ExportOptions(Options):
    shard_size: int = Field(256, ge=1, description="Largest size of a shard, in MB (one sample may exceed it).")
    seed: int = Field(0, description="Seed of the order of pairs over the shards.")


class VerifyOptions(Options):
    path: Path = Field(
        description="A folder that miner wrote: a workspace, embeddings/, pairs/ or shards/.",
        json_schema_extra={"argument": True},
    )
