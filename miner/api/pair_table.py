"""The pairs of a workspace as a table, with their images."""

import base64
import io
from collections.abc import Sequence
from functools import cached_property
from html import escape
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
from miner.source import Entry
from miner.text import counted

if TYPE_CHECKING:
    import pandas
    from PIL.Image import Image

_SHOWN, _SIDE = 8, 112  # pairs of a gallery, and pixels of a picture


class PairTable:
    """The pairs of a workspace, each once, sorted by row numbers.

    Attributes:
        manifest: the record of `miner pairs`.

    Raises:
        MinerError: there are no pairs, they belong to other embeddings, or a file is damaged.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._store = EmbeddingStore(workspace)
        self.manifest = PairsManifest.read(workspace, of=self._store.manifest)

    def __len__(self) -> int:
        return self.manifest.pairs

    def to_arrow(self) -> pa.Table:
        """A row per pair: path_a, path_b, the columns of pairs.parquet, and `verdict`.

        `verdict` is same, different or unsure, as most reviewers say, and null where nobody or no majority says so.
        """
        path = self._workspace.pairs / "pairs.parquet"
        read_pairs(path, ["a"])  # a damaged table is said in words
        table = one_order(load_table(path))
        paths = self._store.metadata["path"]
        columns = {f"path_{side}": paths.take(table[side]) for side in "ab"}
        columns |= {name: table[name] for name in table.column_names}
        return pa.table({**columns, "verdict": verdict_column(self._workspace.review / "decisions.jsonl", table)})

    def to_pandas(self) -> "pandas.DataFrame":
        """`to_arrow` as a data frame; pandas must be installed."""
        frame: pandas.DataFrame = self.to_arrow().to_pandas()
        return frame

    def image(self, row: int) -> "Image":
        """The image of a row of the embeddings, decoded and upright, RGB.

        Raises:
            MinerError: it has changed since it was embedded, or its source is gone.
            OSError: it cannot be read.
        """
        from miner.images.decode import decode_image

        return decode_image(self._source.read(self._entries[row]))

    @cached_property
    def _source(self) -> VerifiedSource:
        return VerifiedSource(self._store.manifest.source.open(), [self._store.metadata])

    @cached_property
    def _entries(self) -> Sequence[Entry]:
        by_key = {entry.key: entry for entry in self._source.entries}
        return [by_key[key] for key in self._store.keys]

    def __repr__(self) -> str:
        return f"<{counted(len(self), 'pair')} of {counted(self.manifest.images_in_pairs, 'image')} in {self._workspace.pairs}>"

    def _repr_html_(self) -> str:
        table = self.to_arrow()
        order = pc.sort_indices(table["similarity"]).to_numpy()
        chosen = order[np.unique(np.linspace(0, len(order) - 1, _SHOWN).astype(int))] if len(order) else order
        return f"<p>{escape(repr(self))}</p>" + "".join(self._figure(row) for row in table.take(chosen).to_pylist())

    def _figure(self, pair: dict[str, Any]) -> str:
        pictures = "".join(
            f'<img src="{self._data_url(pair[side])}" title="{escape(pair[f"path_{side}"], quote=True)}" alt="">'
            for side in "ab"
        )
        caption = f"<figcaption>{pair['similarity']:.3f}</figcaption>"
        return f'<figure style="display:inline-block;margin:4px">{pictures}{caption}</figure>'

    def _data_url(self, row: int) -> str:
        image = self.image(row)
        image.thumbnail((_SIDE, _SIDE))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=80)
        return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
