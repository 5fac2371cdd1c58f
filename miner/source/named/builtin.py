"""The names of the built-in sources, and how each one is opened."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from miner.source.base import Source
from miner.source.named.fashion import FASHION_CLASSES
from miner.source.webdataset.shards import ShardSource


def cache_folder() -> Path:
    """The folder of fetched data sets: MINER_CACHE, or `miner` in the user's cache folder."""
    if chosen := os.environ.get("MINER_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "miner"


def open_builtin(name: str) -> Source:
    """Open a named source.

    Raises:
        KeyError: the name is not in `BUILTIN`.
        MinerError: the data cannot be fetched, or have another checksum.
    """
    return BUILTIN[name]()


def _named(source: ShardSource, spec: str, name: str) -> ShardSource:
    """The source with `spec`, and with paths that begin with its name instead of a folder of this machine."""
    source.spec = spec
    source.entries = [
        replace(entry, path=f"{name}/{entry.path.rpartition('/')[2]}", version=0) for entry in source.entries
    ]
    return source


def _sample() -> Source:
    shard = Path(__file__).parents[1] / "data" / "fashion-mnist-sample.tar.gz"
    return _named(ShardSource(str(shard), FASHION_CLASSES), "sample", "sample")


def _cifar10(name: str, split: str) -> Source:
    from miner.source.named.cifar10 import CLASSES, cifar10_tar

    return _named(ShardSource(str(cifar10_tar(cache_folder() / "cifar10", split)), CLASSES), name, name)


def _fetched(name: str, split: str, spec: str) -> Source:
    from miner.source.named.fetched import open_fetched

    source = open_fetched(name, split, spec, cache_folder())
    return _named(source, spec, f"{name}:{split}") if isinstance(source, ShardSource) else source


BUILTIN: dict[str, Callable[[], Source]] = {
    "sample": _sample,
    "cifar10": partial(_cifar10, "cifar10", "train"),
    "cifar10:test": partial(_cifar10, "cifar10:test", "test"),
    **{
        spec: partial(_fetched, spec.partition(":")[0], split, spec)
        for spec, split in {
            "cifar100": "train",
            "cifar100:test": "test",
            # The part for pretraining; stl10:train has only 5,000 images.
            "stl10": "unlabeled",
            "stl10:unlabeled": "unlabeled",
            "stl10:train": "train",
            "stl10:test": "test",
            "fashion-mnist": "train",
            "fashion-mnist:test": "test",
            "flowers102": "train",
            "flowers102:val": "val",
            "flowers102:test": "test",
            **{
                f"{name}{'' if split == 'train' else f':{split}'}": split
                for name in ("dtd", "aircraft")
                for split in ("train", "val", "test")
            },
            "oxford-pets": "train",
            "oxford-pets:test": "test",
            "food101": "train",
            "food101:test": "test",
        }.items()
    },
}

# The test sets of built-in sources, for evaluation.
HELD_OUT = {
    "cifar10": "cifar10:test",
    "cifar100": "cifar100:test",
    "stl10:train": "stl10:test",
    "fashion-mnist": "fashion-mnist:test",
    "flowers102": "flowers102:test",
    "dtd": "dtd:test",
    "aircraft": "aircraft:test",
    "oxford-pets": "oxford-pets:test",
    "food101": "food101:test",
}


def named_parts(name: str) -> list[str]:
    """The parts of a data set with a name, what is trained on first."""
    return [part for part in (name, *(f"{name}:{split}" for split in ("train", "val", "test"))) if part in BUILTIN]
