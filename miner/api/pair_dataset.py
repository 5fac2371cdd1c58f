"""Pairs of images for a training loop of torch: of a workspace by number, or of shards as a stream."""

import json
import os
import random
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from miner.engine import local_or_remote
from miner.errors import MinerError, UsageError
from miner.images.decode import decode_image
from miner.text import counted

if TYPE_CHECKING:
    from PIL.Image import Image

    from miner.api.pair_table import PairTable

Transform = Callable[["Image"], Any]
_PAIR_SHARD = re.compile(r"pairs-.*\.tar")


class PairDataset(Dataset[tuple[Any, Any]]):
    """Map-style: item i is pair i, as two views. Which image comes first is drawn anew in each epoch.

    Args:
        table: `workspace.pairs`.
        transform: makes a view of an image (PIL, RGB, upright); called twice per item. Without it, items are images.
        own_views: share of items that are two views of one image of the pair instead, 0 to 1.
        seed: of the draws, with the epoch.

    Raises:
        UsageError: `own_views` is no share.

    An item raises the errors of `PairTable.image`.

    >>> pairs = miner.open("datasets_out/default").pair_dataset(lambda image: image.resize((8, 8)), own_views=0.5)
    >>> pairs.set_epoch(1)
    >>> first, second = pairs[0]
    >>> first.size, second.size
    ((8, 8), (8, 8))
    """

    def __init__(
        self, table: "PairTable", transform: Transform | None = None, *, own_views: float = 0.0, seed: int = 0
    ) -> None:
        pairs = table.to_arrow()
        self._rows = np.stack([pairs["a"].to_numpy(), pairs["b"].to_numpy()], axis=1)
        self._image = table.image
        self._transform = transform
        self._own_views = _share(own_views)
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Other draws for another epoch; call it before the loader starts the epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"PairDataset({counted(len(self), 'pair')})"

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        first, second = self._rows[number].tolist()
        draw = random.Random(f"{self._seed} {self._epoch} {number % len(self)}")
        if draw.random() < 0.5:
            first, second = second, first
        if draw.random() < self._own_views:
            second = first
        image = self._image(first)
        return _two_views(image, image if second == first else self._image(second), self._transform)


class PairShards(IterableDataset[tuple[Any, Any]]):
    """A stream of the pairs in shards of `miner export` or `miner publish`, from a folder or any fsspec URL (https, s3, hf, ...).

    The workers of a loader and the processes of torch.distributed share the shards. Which image comes first is drawn.

    Args:
        url: the folder of `pairs-*.tar` and `manifest.json`, or that of a published set.
        transform, own_views, seed: as for `PairDataset`.
        shuffle: pairs that wait in memory to be drawn from; 0 keeps the order of the shards. An export is shuffled already.

    Raises:
        MinerError: there is no export at the URL, it holds no pair with images, or, while it is read, a shard is damaged.
        UsageError: `own_views` is no share.

    >>> pairs = miner.PairShards("published", shuffle=1000)
    >>> first, second = next(iter(pairs))
    >>> first.size, len(list(pairs)) == len(pairs)
    ((40, 40), True)
    """

    def __init__(
        self,
        url: str | os.PathLike[str],
        transform: Transform | None = None,
        *,
        own_views: float = 0.0,
        shuffle: int = 0,
        seed: int = 0,
    ) -> None:
        self._folder = local_or_remote(os.fspath(url))
        self._transform = transform
        self._own_views = _share(own_views)
        self._shuffle, self._seed, self._epoch = shuffle, seed, 0
        self._shards = self._find()

    def set_epoch(self, epoch: int) -> None:
        """Other draws for another epoch; call it before the loader starts the epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Pairs in all shards."""
        return sum(self._shards.values())

    def __repr__(self) -> str:
        return f"PairShards({str(self._folder)!r}, {counted(len(self), 'pair')})"

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        names, draw = self._of_this_worker(), random.Random(f"{self._seed} {self._epoch}")
        if self._shuffle:
            draw.shuffle(names)
        waiting: list[tuple[bytes, bytes]] = []
        for pair in (pair for name in names for pair in self._read(name)):
            waiting.append(pair)
            if len(waiting) > self._shuffle:
                yield self._views(waiting, draw)
        while waiting:
            yield self._views(waiting, draw)

    def _views(self, waiting: list[tuple[bytes, bytes]], draw: random.Random) -> tuple[Any, Any]:
        pair = waiting.pop(draw.randrange(len(waiting)) if self._shuffle else 0)
        first, second = pair if draw.random() < 0.5 else pair[::-1]
        image = decode_image(first)
        own = draw.random() < self._own_views
        return _two_views(image, image if own else decode_image(second), self._transform)

    def _find(self) -> dict[str, int]:
        """The pair shards and their numbers of pairs."""
        try:
            manifest = json.loads((self._folder / "manifest.json").read_bytes())
            if "configs" in manifest:  # a published set, whose shards lie in a folder of their own
                self._folder /= "data"
                manifest = json.loads((self._folder / "manifest.json").read_bytes())
            counts = manifest["samples"]
            shards = {name: int(counts[name]) for name in sorted(counts) if _PAIR_SHARD.fullmatch(name)}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MinerError(f"{self._folder} is no folder that `miner export` wrote ({error}).") from error
        if not shards or manifest.get("request", {}).get("references"):
            raise MinerError(
                f"{self._folder} holds no pairs with images. Export them without --references. The Parquet files of a published "
                'set hold both images of each pair: datasets.load_dataset(FOLDER, split="train").'
            )
        return shards

    def _of_this_worker(self) -> list[str]:
        worker, group = get_worker_info(), torch.distributed
        rank, world = (group.get_rank(), group.get_world_size()) if group.is_initialized() else (0, 1)
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        return list(self._shards)[rank * workers + number :: world * workers]

    def _read(self, name: str) -> Iterator[tuple[bytes, bytes]]:
        """The encoded images of each pair of a shard, whose members follow each other."""
        from miner.source.webdataset.tar_members import DamagedTarError, tar_members

        path = self._folder / name
        key, images = None, dict[str, bytes]()
        try:
            with path.open("rb") as stream:
                for member in tar_members(stream):
                    stem, _, ending = member.name.partition(".")
                    if stem != key:
                        key, images = stem, {}
                    if (side := ending.partition(".")[0]) in ("a", "b"):
                        images[side] = member.read()
                        if len(images) == 2:
                            yield images["a"], images["b"]
        except (OSError, DamagedTarError) as error:
            raise MinerError(f"The shard {path} cannot be read: {error}.") from error


def _two_views(first: "Image", second: "Image", transform: Transform | None) -> tuple[Any, Any]:
    return (first, second) if transform is None else (transform(first), transform(second))


def _share(value: float) -> float:
    if not 0 <= value <= 1:
        raise UsageError(f"own_views={value}: give a share from 0 to 1.")
    return value
