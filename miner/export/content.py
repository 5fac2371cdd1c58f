"""The content of an export: images, the pairs that are chosen, and the shards of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.decisions import Pair
from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import read_metadata
from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.pairs.selection import capped
from miner.artifacts.pairs.table import DUPLICATE_IMAGES, PAIR_SCHEMA, read_pairs
from miner.artifacts.parquet import read_columns
from miner.artifacts.workspace import Workspace
from miner.engine import AnyPath, Unit
from miner.engine.tar import tar_member_bytes
from miner.export.options import ExportOptions
from miner.export.plan import JSON_BYTES, Shard, image_sample_sizes, pair_sample_sizes, plan_shards
from miner.export.write import ImageShard, Original, PairShard, open_originals
from miner.source import Source

_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Content:
    """Images and pairs of an export.

    Attributes:
        images: the metadata table, by row.
        image_rows: the rows of the images to export, ascending.
        pairs: chosen pairs, in the order of the mined table.
        left_out, images_left_out: how many pairs and how many images were left out, by reason.
        originals: the images, by row.
    """

    options: ExportOptions
    images: pa.Table
    image_rows: Rows
    pairs: pa.Table
    left_out: dict[str, int]
    images_left_out: dict[str, int]
    source: Source
    originals: Sequence[Original]

    @cached_property
    def unlabelled(self) -> int | None:
        """The value of an unknown label in the samples' JSON: -1 if other labels are known, because a column has one type."""
        labels = self.images["label"]
        return None if labels.null_count == len(labels) else -1

    @cached_property
    def order(self) -> Rows:
        """Rows of the pairs in the order of the shards.

        In the table the pairs of one image stand together. Shuffling spreads them over many batches.
        """
        return np.random.default_rng(self.options.seed).permutation(len(self.pairs))

    @cached_property
    def shards(self) -> list[Shard]:
        """All shards, images first."""
        options = self.options
        limits = (options.shard_size * _MEGABYTE, options.shard_count)
        endings, sizes = self.images["extension"].to_pylist(), self.images["bytes"].to_numpy()
        rows = self.image_rows
        fields: list[tuple[str, ...]] = [(endings[row],) for row in rows.tolist()]
        shards: list[Shard] = []
        if not options.pairs_only:
            shards += plan_shards("images", fields, rows, image_sample_sizes(sizes[rows]), *limits)
        a, b = (self.pairs[side].to_numpy()[self.order] for side in ("a", "b"))
        if options.references:
            fields, pair_sizes = [()] * len(a), np.full(len(a), tar_member_bytes(JSON_BYTES))
        else:
            fields = [(endings[left], endings[right]) for left, right in zip(a.tolist(), b.tolist(), strict=True)]
            pair_sizes = pair_sample_sizes(sizes, a, b)
        return shards + plan_shards("pairs", fields, self.order, pair_sizes, *limits)

    @cached_property
    def shard_of(self) -> list[str]:
        """The image shard of each image, by row."""
        names = np.full(len(self.images), "", object)
        for shard in self.shards:
            if shard.kind == "images":
                names[shard.rows] = shard.name
        return names.tolist()

    def units(self, folder: AnyPath) -> list[Unit]:
        """One unit of work per shard. The unit writes the shard, and its file record under `parts/`."""
        return [
            Unit(
                id=shard.name,
                outputs=(folder / "parts" / f"{shard.name}.json", folder / shard.name),
                work=self._images(shard) if shard.kind == "images" else self._pairs(shard),
                items=len(shard.rows),
            )
            for shard in self.shards
        ]

    def _images(self, shard: Shard) -> ImageShard:
        return ImageShard(self.source, self.originals, shard.rows, shard.size_bytes, self.unlabelled)

    def _pairs(self, shard: Shard) -> PairShard:
        pairs = self.pairs.select(["pair_key", "a", "b", "similarity"]).take(pa.array(shard.rows))
        shard_of = self.shard_of if self.options.references else None
        return PairShard(self.source, self.originals, pairs, shard.size_bytes, self.unlabelled, shard_of)


def read_content(
    options: ExportOptions,
    workspace: Workspace,
    embeddings: EmbeddingsManifest,
    pairs: PairsManifest | None,
    retrieved: Rows | None,
    reject: set[Pair],
) -> Content:
    """Read all tables and open the source.

    Args:
        pairs: None if no pairs have been mined.
        retrieved: the rows of --retrieved.
        reject: pairs to leave out.
    Raises:
        MinerError: a file is missing or damaged, or an image is no longer in the source.
    """
    images = read_metadata(workspace.embeddings, embeddings.blocks)
    mined = PAIR_SCHEMA.empty_table() if pairs is None else read_pairs(workspace.pairs / "pairs.parquet", evidence=True)
    keys = [f"pair-{row:09d}" for row in range(len(mined))]  # they do not depend on which pairs are exported
    mined = mined.add_column(0, "pair_key", pa.array(keys, pa.string()))
    rows, chosen = np.arange(len(images)), dict[str, Rows]()
    if retrieved is not None:
        chosen["not_retrieved"] = retrieved
    if options.without_duplicates:
        table = read_columns(workspace.pairs / DUPLICATE_IMAGES, ["row"], "miner pairs")
        chosen["duplicates"] = np.setdiff1d(rows, table["row"].to_numpy())
    images_left_out = {}
    for reason, kept in chosen.items():
        images_left_out[reason], rows = len(np.setdiff1d(rows, kept)), np.intersect1d(rows, kept)
    mined, left_out = choose_pairs(mined, chosen, reject, options.max_degree)
    source, originals = open_originals(embeddings.source, images)
    return Content(options, images, rows, mined, left_out, images_left_out, source, originals)


def choose_pairs(
    table: pa.Table, kept: Mapping[str, Rows], reject: set[Pair], max_degree: int | None
) -> tuple[pa.Table, dict[str, int]]:
    """The pairs to export, in the order of the table, and how many were left out for each reason.

    Rejected pairs and those of other images are left out first, so that they do not count under `max_degree`.

    Args:
        kept: the rows of the images to export, by the reason why others are left out; several must all hold an image.
    """
    keys = zip(table["key_a"].to_pylist(), table["key_b"].to_pylist(), strict=True)
    keep = np.asarray([tuple(sorted(pair)) not in reject for pair in keys], bool)
    left_out: dict[str, Any] = {"rejected": len(keep) - int(keep.sum()), "max_degree": 0}
    for reason, images in kept.items():
        exported = np.isin(table["a"].to_numpy(), images) & np.isin(table["b"].to_numpy(), images)
        if not exported[keep].all():
            left_out[reason] = int((keep & ~exported).sum())
            keep &= exported
    if max_degree is not None and keep.any():
        rows = np.flatnonzero(keep)
        chosen = table.take(pa.array(rows))
        a, b = chosen["a"].to_numpy(), chosen["b"].to_numpy()
        under = _under_degree(a, b, chosen["similarity"].to_numpy().astype(np.float64), max_degree)
        left_out["max_degree"] = len(rows) - int(under.sum())
        keep[rows[~under]] = False
    return table.filter(pa.array(keep)), left_out


def _under_degree(a: Rows, b: Rows, similarity: NDArray[np.float64], max_degree: int) -> NDArray[np.bool_]:
    """Whether `capped` keeps the pair of each row, bool (m,). A pair in both orders counts once and keeps both rows or none."""
    codes = np.minimum(a, b) * (max(int(a.max()), int(b.max())) + 1) + np.maximum(a, b)
    _, first, pair_of_row = np.unique(codes, return_index=True, return_inverse=True)
    return np.asarray(capped(a[first], b[first], similarity[first], max_degree)[pair_of_row], bool)
