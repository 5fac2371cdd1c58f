"""Sources that have a name: data inside the package, or fetched once into the cache."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from miner.source.base import Source
from miner.source.shards import ShardSource

FASHION_CLASSES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]


def cache_folder() -> Path:
    """Where fetched data sets are kept: MINER_CACHE, or `miner` in the user's cache folder."""
    if chosen := os.environ.get("MINER_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "miner"


def open_builtin(name: str) -> Source:
    """Open a named source.

    Raises:
        KeyError: the name is not in `BUILTIN`.
        MinerError: its data cannot be fetched, or what was fetched is not what it should be.
    """
    return _named(BUILTIN[name](), name)


def _named(source: ShardSource, name: str) -> ShardSource:
    """The source under its short name, its paths free of this machine's folders."""
    source.spec = name
    source.entries = [replace(entry, path=f"{name}/{entry.path.rpartition('/')[2]}") for entry in source.entries]
    return source


def _sample() -> ShardSource:
    shard = Path(__file__).parent / "data" / "fashion-mnist-sample.tar.gz"
    return ShardSource(str(shard), FASHION_CLASSES)


def _cifar10(split: str) -> ShardSource:
    from miner.source.cifar10 import CLASSES, prepare

    return ShardSource(str(prepare(cache_folder() / "cifar10", split)), CLASSES)


BUILTIN: dict[str, Callable[[], ShardSource]] = {
    "sample": _sample,
    "cifar10": lambda: _cifar10("train"),
    "cifar10:test": lambda: _cifar10("test"),
}

# Sources with a held-out part of their own, for evaluation.
HELD_OUT = {"cifar10": "cifar10:test"}
