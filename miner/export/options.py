"""Options of `miner export`."""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from miner.options import Options, option


class ExportOptions(Options):
    """Write images and pairs as WebDataset shards.

    images-*.tar holds every embedded image once, with its original bytes. pairs-*.tar holds PAIRKEY.a.jpg, PAIRKEY.b.jpg and
    PAIRKEY.json of every pair, shuffled. Every run writes the same bytes. webdataset, datasets, wids (index.json) and tar open the
    shards. Next: `miner verify`, `miner publish`, `miner train`.

    \b
      miner export --exclude decisions.jsonl              without the pairs that reviewers rejected
      miner export --references                           smaller, if an image is in many pairs
      miner export --to s3://BUCKET/NAME --workers 4      to a bucket, by four processes
    """

    panel = "basics"

    shard_size: int = option(256, ge=1, panel="expert")
    """Largest size of a shard, in MB. A sample that is larger gets a shard of its own."""
    shard_count: int | None = option(None, ge=1, panel="expert")
    """Put at most this many samples into a shard. If not given: --shard-size alone limits a shard."""
    seed: int = option(0, panel="expert")
    """Seed of the order of the pairs. Pairs are shuffled over all shards, so that the pairs of one image are spread
    over many batches."""
    pairs_only: bool = option(False)
    """Write no image shards. Each pair sample holds both of its images."""
    references: bool = option(False)
    """Pair samples name their images by key and shard, without their bytes. An image in many pairs is then stored once."""
    max_degree: int | None = option(None, ge=1)
    """Export at most this many pairs of one image, the most similar ones."""
    without_duplicates: bool = option(False, decides_result="if changed")
    """Leave out the images of duplicate_images.parquet and their pairs: `miner pairs --keep` chooses which image of a group of
    near-identical images stays."""
    retrieved: Path | None = option(None, decides_result=False, metavar="FOLDER")
    """Export only images that are in a pair with another set, and the pairs among them, if there are any. FOLDER is against/NAME,
    which `miner pairs --against` has written, here or in the workspace of the other set."""
    exclude: Path | None = option(None, decides_result=False, metavar="FILE")
    """decisions.jsonl of `miner review`. Pairs that more reviewers call different or near-duplicate than same are left out."""
    to: str | None = option(None, decides_result=False)
    """Write to another folder or any fsspec URL (s3://BUCKET/NAME, gs://, hf://, sftp://...) instead of shards/ in the
    workspace. Object stores show only whole files; elsewhere a file is uploaded aside and renamed."""
    workers: int = option(1, ge=1, panel="processes", decides_result=False)
    """Processes that write shards. Any number gives the same bytes."""
    engine_address: str | None = option(None, panel="processes", decides_result=False)
    """Write the shards on a Ray cluster: auto, or ray://HOST:PORT. Needs the extra `ray`."""

    @model_validator(mode="after")
    def _references_need_images(self) -> Self:
        if self.references and self.pairs_only:
            raise ValueError(
                "--references names images in the image shards, which --pairs-only leaves out; choose one."
            )
        return self
