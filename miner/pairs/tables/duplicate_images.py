"""One image of each group of near-identical images is kept; a table lists the others."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.embeddings.verified import VerifiedSource
from miner.artifacts.parquet import save_table
from miner.engine import Progress, Record, committed
from miner.errors import MinerError
from miner.images.decode import UnreadableImageError, decode_image
from miner.images.sharpness import laplacian_variance
from miner.pairs.options import Keep
from miner.pairs.tables.found import FoundPairs
from miner.pairs.tables.groups import components

_SCHEMA = pa.schema(
    [("row", pa.int64()), ("key", pa.string()), ("group", pa.int64()), ("kept", pa.string()), ("reason", pa.string())]
)


def write_duplicate_images(
    path: Path, duplicates: FoundPairs, store: EmbeddingStore, keep: Keep, files: Rows
) -> Record:
    """Write the images that are not kept, in the order of their rows; returns the record of the groups.

    A group is a connected component of `duplicates`, numbered by its first row. Its kept image is the best one by `keep`; of
    equally good images the first.

    Args:
        duplicates: all pairs of near-identical images and of equal files, a < b.
        files: a number for each image, int64 (n,); equal files have equal numbers.
    Raises:
        MinerError: `keep` needs pixels, and an image has changed or is gone since it was embedded.
    """
    rows, ends = np.unique(np.concatenate([duplicates.a, duplicates.b]), return_inverse=True)
    left, right = ends[: len(duplicates)].astype(np.int64), ends[len(duplicates) :].astype(np.int64)
    _, group = np.unique(components(left, right, len(rows)), return_inverse=True)
    order = np.lexsort((rows, -_worth(keep, store, rows, group), group))
    kept = order[np.searchsorted(group[order], group)]
    out = np.flatnonzero(kept != np.arange(len(rows)))
    keys = store.metadata["key"].combine_chunks()
    columns = {
        "row": rows[out],
        "key": keys.take(pa.array(rows[out])),
        "group": group[out],
        "kept": keys.take(pa.array(rows[kept[out]])),
        "reason": _reasons(rows[out], rows[kept[out]], duplicates, files),
    }
    with committed(path) as partial:
        save_table(pa.table(columns, schema=_SCHEMA), partial, "zstd")
    return {"keep": keep, "groups": len(rows) - len(out), "images": len(out), "mixed": _mixed(group, rows, store)}


def _worth(keep: Keep, store: EmbeddingStore, rows: Rows, group: Rows) -> NDArray[np.float64]:
    """How much each image deserves to be kept, float64 (m,); comparable inside a group."""
    if keep == "labelled":
        known = store.metadata["label"].is_valid().to_numpy()
        return np.asarray(known[rows], np.float64)
    if keep == "first":
        return np.zeros(len(rows))
    width, height = (
        store.metadata[side].fill_null(0).to_numpy()[rows].astype(np.int64) for side in ("width", "height")
    )
    pixels = width * height
    if keep == "largest":
        return np.asarray(pixels, np.float64)
    largest = np.lexsort((rows, -pixels, group))
    model = largest[np.searchsorted(group[largest], group)]
    return np.fromiter(_sharpness(store, rows, width[model], height[model]), np.float64, len(rows))


def _sharpness(store: EmbeddingStore, rows: Rows, width: Rows, height: Rows) -> Iterator[float]:
    """The sharpness of each image, measured at the size that is given for it."""
    source = VerifiedSource(store.manifest.source.open(), [store.metadata])
    entries = {entry.key: entry for entry in source.entries}
    paths, keys = store.metadata["path"], store.metadata["key"]
    with Progress("sharpness", len(rows), "images") as progress:
        for row, *size in zip(rows.tolist(), width.tolist(), height.tolist(), strict=True):
            try:
                image = decode_image(source.read(entries[keys[row].as_py()]))
            except (KeyError, OSError, UnreadableImageError):
                raise MinerError(
                    f"--keep sharpest: the image {paths[row]} of {source.spec} is gone since it was embedded. Choose "
                    "another --keep, or embed again with --force."
                ) from None
            yield laplacian_variance(image, (size[0], size[1]))
            progress.advance(1)


def _reasons(rows: Rows, kept: Rows, duplicates: FoundPairs, files: Rows) -> NDArray[np.str_]:
    images = len(files)
    pairs = np.minimum(rows, kept) * images + np.maximum(rows, kept)
    direct = np.isin(pairs, duplicates.a * images + duplicates.b)
    return np.where(files[rows] == files[kept], "same file", np.where(direct, "near-identical", "through others"))


def _mixed(group: Rows, rows: Rows, store: EmbeddingStore) -> int | None:
    """The number of groups whose labels disagree; None without labels."""
    labels = store.labels
    if labels is None:
        return None
    known = labels[rows] >= 0
    distinct = np.unique(np.stack([group[known], labels[rows][known]]), axis=1)[0]
    return int((np.bincount(distinct) > 1).sum()) if len(distinct) else 0
