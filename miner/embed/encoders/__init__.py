"""Frozen encoders by name: one factory per family, and weights that load without running code."""

from miner.embed.encoders.base import Encoder
from miner.embed.encoders.registry import load_encoder

__all__ = ["Encoder", "load_encoder"]
