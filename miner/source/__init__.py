"""Sources of images: folders, WebDataset shards, Parquet files and named data sets, each an ordered list of entries."""

from miner.source.base import Entry, Source
from miner.source.opening import open_source, parts_of

__all__ = ["Entry", "Source", "open_source", "parts_of"]
