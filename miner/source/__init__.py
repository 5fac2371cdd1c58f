"""Where images come from. Every source is an ordered list of entries whose bytes can be read at random."""

from miner.source.base import Entry, Source
from miner.source.opening import open_source

__all__ = ["Entry", "Source", "open_source"]
