"""Which sample goes into which shard, decided before a byte is written."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Rows
from miner.engine.tar import tar_bytes, tar_member_bytes

# A sample's JSON never takes more than one block of the tar, so sizes and offsets are known without it.
JSON_BYTES = 512


@dataclass(frozen=True)
class Shard:
    """One tar to be written.

    Attributes:
        kind: "images" or "pairs".
        set_name: the name of the shard set that the file belongs to; all samples of a set have the same fields.
        fields: the fields of each sample, as readers name them: ("a.jpg", "b.jpg", "json").
        rows: int64, of the images (or of the pairs, in their table) that it holds, in order.
    """

    kind: str
    set_name: str
    name: str
    fields: tuple[str, ...]
    rows: Rows
    size_bytes: int


def split_by_size(sizes: NDArray[np.int64], largest_bytes: int, most: int | None = None) -> list[range]:
    """Runs of consecutive samples that fit in a shard. A sample that is larger than a shard gets one of its own.

    `sizes` are the bytes of each sample inside a tar. `most` limits the samples of a shard.
    """
    shards, start, filled = [], 0, 0
    for number, size in enumerate(sizes.tolist()):
        if number > start and (filled + size > largest_bytes or number - start == most):
            shards.append(range(start, number))
            start, filled = number, 0
        filled += size
    return [*shards, range(start, len(sizes))] if len(sizes) else shards


def plan_shards(
    kind: str,
    endings: Sequence[tuple[str, ...]],
    rows: Rows,
    sizes: NDArray[np.int64],
    largest_bytes: int,
    most: int | None,
) -> list[Shard]:
    """The shards of all samples of a kind, one shard set for each combination of file endings.

    Readers such as `datasets` take the columns of a set from its first samples, so a set must not mix .jpg with .png. If all
    samples have the same endings, the set has the name of the kind; else the endings follow: images-jpg, pairs-jpg-png.

    Args:
        kind: "images" or "pairs".
        endings: the endings of the images in each sample: ("jpg",), ("jpg", "png") for a pair, () for a sample without images.
        rows: int64 (n,), samples in the order of their shards.
        sizes: int64 (n,), bytes of each of these samples inside a tar.
        largest_bytes, most: the largest size of a shard, and its largest number of samples.
    """
    combinations = sorted(set(endings))
    number_of = {ending: number for number, ending in enumerate(combinations)}
    numbers = np.asarray([number_of[ending] for ending in endings], np.int64)
    shards = []
    for number, ending in enumerate(combinations):
        chosen = np.flatnonzero(numbers == number)
        set_name = kind if len(combinations) == 1 else "-".join([kind, *ending])
        for shard, part in enumerate(split_by_size(sizes[chosen], largest_bytes, most)):
            members = chosen[part.start : part.stop]
            size = tar_bytes(int(sizes[members].sum()))
            name = f"{set_name}-{shard:06d}.tar"
            shards.append(Shard(kind, set_name, name, _fields(ending), rows[members], size))
    return shards


def _fields(ending: tuple[str, ...]) -> tuple[str, ...]:
    images = ending if len(ending) == 1 else tuple(f"{side}.{one}" for side, one in zip("ab", ending, strict=False))
    return (*images, "json")


def image_sample_sizes(image_bytes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes in a tar of the image and its JSON, for each image."""
    return tar_member_bytes(image_bytes) + tar_member_bytes(JSON_BYTES)


def pair_sample_sizes(image_bytes: NDArray[np.int64], a: Rows, b: Rows) -> NDArray[np.int64]:
    """Bytes in a tar of both images and one JSON, for each pair."""
    members = tar_member_bytes(image_bytes)
    return members[a] + members[b] + tar_member_bytes(JSON_BYTES)


def image_offsets(shard: Shard, image_bytes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the content of each image of a shard begins, in bytes."""
    ends = np.cumsum(image_sample_sizes(image_bytes[shard.rows]))
    return np.concatenate([[0], ends[:-1]]).astype(np.int64) + tar_member_bytes(0)
