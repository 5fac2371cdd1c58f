"""The tables beside the shards: the place of each image, the pairs, and the index for random access."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from miner.artifacts.parquet import save_table
from miner.engine import AnyPath, Record, committed, file_record, json_bytes
from miner.export.plan import Shard, image_offsets

IMAGE_COLUMNS = ("key", "shard", "offset", "bytes", "extension", "label", "width", "height", "sha256")


def image_table(shards: Sequence[Shard], images: pa.Table) -> pa.Table:
    """The metadata table with `shard` and `offset`, where the bytes of an image begin; null if there are no image shards."""
    sizes = images["bytes"].to_numpy()
    names = np.full(len(images), None, object)
    offsets = np.zeros(len(images), np.int64)
    for shard in shards:
        if shard.kind == "images":
            names[shard.rows] = shard.name
            offsets[shard.rows] = image_offsets(shard, sizes)
    shard_column = pa.array(names.tolist(), pa.string())
    offset_column = pa.array(offsets, pa.int64(), mask=np.asarray(shard_column.is_null()))
    return images.append_column("shard", shard_column).append_column("offset", offset_column).select(IMAGE_COLUMNS)


def write_table(path: AnyPath, table: pa.Table) -> Record:
    """Write a table atomically; returns the record of the file."""
    with committed(path) as partial:
        save_table(table, partial, "zstd")
        return file_record(partial)


def write_wids_index(path: AnyPath, name: str, shards: Sequence[Shard]) -> Record:
    """Write the shard list with which the `wids` package reads samples by number; returns the record of the file."""
    shard_list = [{"url": shard.name, "nsamples": len(shard.rows), "filesize": shard.size_bytes} for shard in shards]
    with committed(path) as partial:
        partial.write_bytes(json_bytes({"wids_version": 1, "name": name, "shardlist": shard_list}))
        return file_record(partial)
