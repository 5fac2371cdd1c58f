"""The content of an export: images, chosen pairs, and their shards."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from miner.artifacts.decisions import Pair
from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import read_metadata
from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.workspace import Workspace
from miner.engine import AnyPath, Unit
from miner.engine.tar import tar_member_bytes
from miner.export.options import ExportOptions
from miner.export.originals import Original, open_originals
from miner.export.plan import JSON_BYTES, Shard, image_sample_sizes, pair_sample_sizes, plan_shards
from miner.export.selection import choose_pairs, mined_pairs
from miner.export.write import ImageShard, PairShard
from miner.source import Source

_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Content:
    """Images and pairs of an export.

    Attributes:
        options: of the export.
        images: the metadata table, by row.
        pairs: chosen pairs, in the order of the mined table.
        left_out: how many pairs were left out, by reason.
        source: of the image bytes.
        originals: the images, by row.
    """

    options: ExportOptions
    images: pa.Table
    pairs: pa.Table
    left_out: dict[str, int]
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

        In the table the pairs of one image are neighbours. Shuffled, they do not meet in one batch.
        """
        return np.random.default_rng(self.options.seed).permutation(len(self.pairs))

    @cached_property
    def shards(self) -> list[Shard]:
        """All shards, images first."""
        options = self.options
        limits = (options.shard_size * _MEGABYTE, options.shard_count)
        endings, sizes = self.images["extension"].to_pylist(), self.images["bytes"].to_numpy()
        fields: list[tuple[str, ...]] = [(ending,) for ending in endings]
        shards: list[Shard] = []
        if not options.pairs_only:
            shards += plan_shards("images", fields, np.arange(len(endings)), image_sample_sizes(sizes), *limits)
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
        names = [""] * len(self.images)
        for shard in self.shards:
            if shard.kind == "images":
                for row in shard.rows.tolist():
                    names[row] = shard.name
        return names

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
    options: ExportOptions, workspace: Workspace, embeddings: EmbeddingsManifest, reject: set[Pair]
) -> Content:
    """Read all tables and open the source.

    Raises:
        MinerError: a file is missing or damaged, or an image is no longer in the source.
    """
    images = read_metadata(workspace.embeddings, embeddings.blocks)
    pairs, left_out = choose_pairs(mined_pairs(workspace.pairs / "pairs.parquet"), reject, options.max_degree)
    source, originals = open_originals(embeddings.source.spec, images)
    return Content(options, images, pairs, left_out, source, originals)
