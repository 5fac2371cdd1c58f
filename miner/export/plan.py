"""Which sample goes into which shard, decided before a byte is written."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.engine.tar import tar_member_bytes

_JSON_BYTES = 512


def split_by_size(sizes: NDArray[np.int64], largest_bytes: int) -> list[range]:
    """Runs of consecutive samples that fit in a shard of `largest_bytes`; a larger sample gets a shard of its own.

    Args:
        sizes: bytes of each sample inside a tar.
        largest_bytes: of a shard.
    """
    shards, start, filled = [], 0, 0
    for number, size in enumerate(sizes.tolist()):
        if number > start and filled + size > largest_bytes:
            shards.append(range(start, number))
            start, filled = number, 0
        filled += size
    return [*shards, range(start, len(sizes))] if len(sizes) else shards


def image_sample_sizes(image_bytes: Sequence[int]) -> NDArray[np.int64]:
    """Bytes in a tar of the image and its JSON, for each image."""
    json_bytes = tar_member_bytes(_JSON_BYTES)
    return np.asarray([tar_member_bytes(size) + json_bytes for size in image_bytes], np.int64)


def pair_sample_sizes(image_sizes: NDArray[np.int64], a: Any, b: Any) -> NDArray[np.int64]:
    """Bytes in a tar of both images and one JSON, for each pair."""
    sizes: NDArray[np.int64] = image_sizes[a] + image_sizes[b] - tar_member_bytes(_JSON_BYTES)
    return sizes
