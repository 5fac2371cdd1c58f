"""The images of a workspace: their metadata, and access to a few of them."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from miner.artifacts.embeddings.images import EmbeddedImage, embedded_images
from miner.artifacts.embeddings.store import read_metadata
from miner.artifacts.embeddings.verified import check_unchanged
from miner.artifacts.workspace import Workspace
from miner.engine import Progress
from miner.errors import MinerError
from miner.images.decode import UnreadableImageError, decode_image
from miner.report.findings import Findings
from miner.report.galleries.thumbnails import whole_picture
from miner.source import Source

Cut = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class Album:
    """The embedded images: their metadata and the source to read them from.

    Attributes:
        metadata: one row per image.
        classes: names of the labels; None without labels.
        source: None when it cannot be opened any more.
    """

    metadata: pa.Table
    classes: list[str] | None
    source: Source | None

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels of all images, int64 (n,), -1 where unknown."""
        return np.asarray(self.metadata["label"].fill_null(-1).to_numpy(), np.int64)

    def images(self, rows: Iterable[int]) -> dict[int, EmbeddedImage]:
        """The images in these rows, by row."""
        wanted = sorted(set(rows))
        return dict(zip(wanted, embedded_images(self.metadata.take(pa.array(wanted, pa.int64()))), strict=True))

    def pictures(self, images: Mapping[int, EmbeddedImage], cut: Cut = whole_picture) -> dict[int, Image.Image]:
        """Small images by row, cut by `cut`, without those that are gone since embedding.

        Raises:
            MinerError: an image has changed since it was embedded.
        """
        if self.source is None:
            return {}
        wanted = {image.key for image in images.values()}
        entries = {entry.key: entry for entry in self.source.entries if entry.key in wanted}
        pictures = {}
        with Progress("pictures", len(images), "images") as progress:
            for row, image in images.items():
                with suppress(KeyError, OSError, UnreadableImageError):
                    data = self.source.read(entries[image.key])
                    check_unchanged(data, image.sha256, image.path, self.source.spec)
                    pictures[row] = cut(decode_image(data))
                progress.advance()
        return pictures


def open_album(workspace: Workspace, findings: Findings) -> Album:
    """The images, from the exported shards if there are any, else from their source.

    Raises:
        MinerError: the metadata is missing or damaged.
    """
    embeddings, shards = findings.embeddings, findings.shards
    source: Source | None = None
    if shards is not None and shards.image_shards:
        source = shards.image_source(workspace.shards)
    else:
        with suppress(MinerError, OSError):
            source = embeddings.source.open()
    return Album(read_metadata(workspace.embeddings, embeddings.blocks), embeddings.source.classes, source)
