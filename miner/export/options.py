"""Options of `miner export`."""

from pydantic import Field

from miner.options import Options


class ExportOptions(Options):
    shard_size: int = Field(256, ge=1, description="Largest size of a shard, in MB (one sample may exceed it).")
    seed: int = Field(0, description="Seed of the order of pairs over the shards.")
