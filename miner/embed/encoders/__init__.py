"""Frozen encoders by name: a small factory each, and one way to load weights without running code."""

from miner.embed.encoders.base import Encoder
from miner.embed.encoders.registry import load_encoder

__all__ = ["Encoder", "load_encoder"]
