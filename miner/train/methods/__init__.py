"""Self-supervised methods. A method owns everything but the data, the optimizer and the loop."""

from miner.train.methods.base import Method
from miner.train.methods.build import build_method

__all__ = ["Method", "build_method"]
