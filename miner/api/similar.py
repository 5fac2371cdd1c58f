"""`miner similar`: the embedded images that are most similar to an image, to one of them, or to a text."""

import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from miner.api.opened import OpenedWorkspace, open_workspace
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import JoinedVectors, MemoryVectors
from miner.artifacts.stage_folder import Stage
from miner.artifacts.workspace import Workspace
from miner.engine import Result, write_bytes
from miner.errors import UsageError

if TYPE_CHECKING:
    from PIL import Image

_PAGE = "index.html"


class SimilarImages:
    """The embedded images that are most similar to a query, most similar first; equal cosines by row number.

    Attributes:
        query: what was asked for.
        rows: their rows in the embeddings, int64 (k,).
        cosines: of the stored vectors, float64 (k,).
        keys, paths: of the images.

    >>> found = miner.similar("datasets_out/default", "class0/000.jpg", k=3)
    >>> len(found.paths), found.rows.dtype.name, found.cosines.dtype.name
    (3, 'int64', 'float64')
    """

    def __init__(
        self,
        store: EmbeddingStore,
        query: str,
        asked: "Image.Image | int | None",
        rows: NDArray[np.int64],
        cosines: NDArray[np.float64],
    ) -> None:
        self.query, self.rows, self.cosines = query, rows, cosines
        self.keys, self.paths = (store.metadata[name].take(rows).to_pylist() for name in ("key", "path"))
        self._store, self._asked = store, asked

    @cached_property
    def html(self) -> str:
        """A page with thumbnails.

        Raises:
            MinerError: an image has changed since it was embedded.
        """
        from miner.report.similar_page import similar_page

        return similar_page(self._store, self.query, self._asked, self.rows.tolist(), self.cosines.tolist())

    def __repr__(self) -> str:
        return "\n".join(f"{cosine:.3f}  {path}" for cosine, path in zip(self.cosines, self.paths, strict=True))

    def _repr_html_(self) -> str:
        from html import escape

        return f'<iframe srcdoc="{escape(self.html)}" style="width: 100%; height: 40rem; border: 0"></iframe>'


def similar(
    workspace: "str | os.PathLike[str]",
    query: "str | os.PathLike[str]",
    k: int = 12,
    *,
    device: str = "auto",
) -> SimilarImages:
    """The k embedded images that are most similar to a query: exact, by the cosines of the stored vectors.

    Args:
        workspace: opened, or its folder.
        query: the key or the path of an embedded image, which is not among the answers; or an image file, which the encoder of
            the workspace encodes; or a text, where this encoder has a text tower.
        k: how many; all, if there are fewer.
        device: auto, cpu, cuda, mps: where the query is encoded.
    Raises:
        MinerError: nothing is embedded here, the query is none of these, or its image cannot be read or encoded.

    >>> miner.similar("datasets_out/default", "photos/class0/000.jpg", k=1, device="cpu").paths
    ['class0/000.jpg']
    """
    from miner.pairs.arithmetic.cosine import rescore
    from miner.pairs.arithmetic.threads import Threads

    if k < 1:
        raise UsageError(f"k={k}: ask for at least one image.")
    opened = workspace if isinstance(workspace, OpenedWorkspace) else open_workspace(workspace)
    store, text = opened.embeddings, os.fspath(query)
    row = next((row for name in ("key", "path") if (row := pc.index(store.metadata[name], text).as_py()) >= 0), None)
    asked: Image.Image | int | None = row
    if row is None:
        vector, asked = _encoded(store, text, device)
    else:
        vector = store.stored.take(np.array([row]))
    rows = np.delete(np.arange(len(store)), [] if row is None else [row])
    both = JoinedVectors(MemoryVectors(vector), store.stored)
    cosines = rescore(both, np.zeros_like(rows), rows + 1, Threads())
    best = np.lexsort((rows, -cosines))[:k]
    return SimilarImages(store, text, asked, rows[best], cosines[best])


def _encoded(store: EmbeddingStore, text: str, device: str) -> "tuple[NDArray[np.floating], Image.Image | None]":
    """The vector of an image file or a text, of the stored type (1, d), and the image.

    Raises:
        MinerError: it is neither, or it cannot be encoded.
    """
    import torch

    from miner.embed.encoders.embedded import encoder_of
    from miner.images.decode import UnreadableImageError, decode_image
    from miner.machine.device import resolve_device, resolve_precision

    embeddings, is_file = store.manifest, False
    with suppress(OSError, ValueError):  # a text may be no possible name of a file
        is_file = Path(text).is_file()
    if embeddings.request.encoder is None:
        raise UsageError(
            f"{text!r} is no key and no path of an embedded image. Nothing else can be compared: no encoder is known that makes "
            "such vectors of an image."
        )
    chosen = resolve_device(device)
    encoder = encoder_of(embeddings, chosen)
    if not is_file:
        encode_text = getattr(encoder.network, "encode_text", None)
        if encode_text is None:
            raise UsageError(
                f"{text!r} is no image file, and no key or path of an embedded image. It cannot be compared as a text either: "
                f"the encoder {encoder.name} has no text tower."
            )
        vectors = torch.nn.functional.normalize(encode_text([text]).float(), dim=1)
        return vectors.detach().cpu().numpy().astype(store.stored.dtype), None
    try:
        image = decode_image(Path(text).read_bytes())
    except (OSError, UnreadableImageError) as error:
        raise UsageError(f"The image {text} cannot be read ({error}).") from error
    pixels = torch.from_numpy(encoder.preprocess.pixels(image)[None].copy()).to(chosen)
    vectors = encoder.encode(pixels, resolve_precision(embeddings.request.precision, chosen))
    if not bool(torch.isfinite(vectors).all()):
        raise UsageError(f"The encoder {encoder.name} gives no vector for {text}.")
    return vectors.cpu().numpy().astype(store.stored.dtype), image


def show_similar(root: Path, query: str, neighbors: int, device: str) -> Result:
    """The command: paths and cosines as lines, and `similar/index.html` in the workspace. Raises the errors of `similar`."""
    workspace = Workspace(root)
    found = similar(root, query, neighbors, device=device)
    page = found.html.encode("utf-8", "backslashreplace")
    record = {"images": [dict(zip(("key", "path", "cosine"), each, strict=True)) for each in _listed(found)]}
    request = {"embeddings": found._store.manifest.identity, "query": query, "neighbors": neighbors}
    stage = Stage(workspace.root / "similar", request, (_PAGE,))
    with workspace.writing():
        stage.begin(force=True)
        write_bytes(stage.folder / _PAGE, page)
        stage.finish(record, [stage.folder / _PAGE])
    lines = [f"{cosine:.3f}  {path}" for _, path, cosine in _listed(found)]
    path = stage.folder / _PAGE
    return Result("similar", record, [*lines, f"similar: with pictures in {path}"], page=path)


def _listed(found: SimilarImages) -> list[tuple[str, str, float]]:
    return list(zip(found.keys, found.paths, found.cosines.tolist(), strict=True))
