"""The pairs of a workspace as a table, with their images."""

from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from html import escape
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from miner.artifacts.decisions import verdict_column
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.verified import VerifiedSource
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.pairs.table import one_order, read_pairs
from miner.artifacts.parquet import load_table
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.source import Entry
from miner.text import counted

if TYPE_CHECKING:
    import pandas
    from PIL.Image import Image

    from miner.report.galleries.thumbnails import Thumbnail

_SHOWN, _SIDE = 8, 112  # pairs of a gallery, and pixels of a picture
_GALLERY_BYTES = 300_000


class PairTable:
    """The pairs of a workspace, each once, sorted by row numbers: `workspace.pairs`. Its length is the number of pairs.

    Attributes:
        manifest: the record of `miner pairs`.

    Raises:
        MinerError: there are no pairs, they belong to other embeddings, or a file is damaged.

    >>> pairs = miner.open("datasets_out/default").pairs
    >>> frame = pairs.to_pandas()
    >>> len(frame) == len(pairs), [*frame.columns[:6]]
    (True, ['path_a', 'path_b', 'a', 'b', 'key_a', 'key_b'])
    >>> pairs.image(int(frame["a"][0])).mode
    'RGB'
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._store = EmbeddingStore(workspace)
        self.manifest = PairsManifest.read(workspace, of=self._store.manifest)

    def __len__(self) -> int:
        return self.manifest.pairs

    def to_arrow(self) -> pa.Table:
        """A row per pair: path_a, path_b, the columns of pairs.parquet, and `verdict`.

        a and b are int64, similarity is float32. `mutual` says whether each image is among the nearest of the other. The rules
        on neighbours add rank_a and rank_b, int32: the place of each image among the nearest of the other, from 1, or 0.
        `verdict` is same, near-duplicate, different or unsure, as most reviewers say, and null where nobody or no majority says
        so.

        Raises:
            MinerError: a file is missing or damaged.
        """
        path = self._workspace.pairs / "pairs.parquet"
        read_pairs(path, ["a"])  # a damaged table is said in words
        table = one_order(load_table(path))
        paths = self._store.metadata["path"]
        columns = {f"path_{side}": paths.take(table[side]) for side in "ab"}
        columns |= {name: table[name] for name in table.column_names}
        return pa.table({**columns, "verdict": verdict_column(self._workspace.review / "decisions.jsonl", table)})

    def to_pandas(self) -> "pandas.DataFrame":
        """`to_arrow` as a data frame.

        Raises:
            MinerError: as for `to_arrow`.
            ImportError: pandas is not installed.
        """
        frame: pandas.DataFrame = self.to_arrow().to_pandas()
        return frame

    def image(self, row: int) -> "Image":
        """The image of a row of the embeddings (a or b of a pair), decoded and upright, RGB.

        Raises:
            MinerError: it has changed or is gone since it was embedded, or the workspace holds vectors alone.
            OSError: its file cannot be read.
        """
        from miner.images.decode import decode_image

        key, path = (self._store.metadata[name][row].as_py() for name in ("key", "path"))
        if key not in self._entries:
            raise MinerError(
                f"The image {path} of {self._source.spec} is gone since it was embedded. Embed again with --force."
            )
        return decode_image(self._source.read(self._entries[key]))

    @cached_property
    def _source(self) -> VerifiedSource:
        return VerifiedSource(self._store.manifest.source.open(), [self._store.metadata])

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        return {entry.key: entry for entry in self._source.entries}

    def __repr__(self) -> str:
        return f"<{counted(len(self), 'pair')} of {counted(self.manifest.images_in_pairs, 'image')} in {self._workspace.pairs}>"

    def _repr_html_(self) -> str:
        """Pairs from the least to the most similar, as pictures of at most `_GALLERY_BYTES`; names cannot change the page."""
        from miner.report.galleries.thumbnails import SMALL_QUALITIES, make_thumbnails

        table = self.to_arrow()
        order = pc.sort_indices(table["similarity"]).to_numpy()
        chosen = order[np.unique(np.linspace(0, len(order) - 1, _SHOWN).astype(int))] if len(order) else order
        shown = table.take(chosen).to_pylist()
        rows = [pair[side] for pair in shown for side in "ab"]
        thumbnails = make_thumbnails(self._squares(rows), rows, _GALLERY_BYTES, SMALL_QUALITIES) if rows else {}
        return f"<p>{escape(repr(self))}</p>" + "".join(_figure(pair, thumbnails) for pair in shown)

    def _squares(self, rows: Iterable[int]) -> "dict[int, Image]":
        """The central squares of images that can still be read."""
        from miner.images.decode import UnreadableImageError
        from miner.report.galleries.thumbnails import central_square

        squares = {}
        with suppress(MinerError, OSError):
            _ = self._entries  # without a source, no image can be read
            for row in {*rows}:
                with suppress(MinerError, OSError, UnreadableImageError):
                    squares[row] = central_square(self.image(row))
        return squares


def _figure(pair: dict[str, Any], thumbnails: "dict[int, Thumbnail]") -> str:
    pictures = "".join(_picture(thumbnails.get(pair[side]), pair[f"path_{side}"]) for side in "ab")
    names = ", ".join(PurePosixPath(pair[f"path_{side}"]).name for side in "ab")
    caption = " ".join(filter(None, [f"{pair['similarity']:.3f}", pair["verdict"], names]))
    return (
        f'<figure style="display: inline-block; width: {2 * _SIDE + 4}px; margin: 0 12px 8px 0">{pictures}<figcaption style="'
        f'overflow: hidden; text-overflow: ellipsis; white-space: nowrap">{escape(caption)}</figcaption></figure>'
    )


def _picture(thumbnail: "Thumbnail | None", path: str) -> str:
    title = escape(path, quote=True)
    if thumbnail is None:
        box = f"display: inline-block; width: {_SIDE}px; height: {_SIDE}px; border: 1px solid; box-sizing: border-box"
        return f'<span style="{box}" title="{title}">not available</span>'
    pixels = "; image-rendering: pixelated" if thumbnail.tiny else ""
    style = f"display: inline-block; margin: 0 2px 0 0{pixels}"
    return f'<img src="{thumbnail.url}" width="{_SIDE}" height="{_SIDE}" style="{style}" title="{title}" alt="{title}">'
