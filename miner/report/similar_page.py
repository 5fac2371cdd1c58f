"""The page of `miner similar`: an image, or what was asked for, and the images that are most similar to it."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePosixPath

from PIL import Image

from miner.artifacts.embeddings.images import class_name
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.errors import MinerError
from miner.report.galleries.album import Album
from miner.report.galleries.thumbnails import make_thumbnails, whole_picture
from miner.report.page import templates

_THUMBNAIL_BYTES = 4_200_000
_QUERY = -1


def similar_page(
    store: EmbeddingStore, query: str, asked: Image.Image | int | None, rows: Sequence[int], cosines: Sequence[float]
) -> str:
    """The page as HTML, with thumbnails of the images that can still be read.

    Args:
        query: what was typed.
        asked: its image, or the row of its image; None for a text.
        rows, cosines: the images found, most similar first.
    Raises:
        MinerError: an image has changed since it was embedded.
    """
    source = None
    with suppress(MinerError, OSError):
        source = store.manifest.source.open()
    album = Album(store.metadata, store.manifest.source.classes, source)
    images = album.images([*rows, *([asked] if isinstance(asked, int) else [])])
    pictures = album.pictures(images)
    if isinstance(asked, Image.Image):
        pictures[_QUERY] = whole_picture(asked)
    query_row = asked if isinstance(asked, int) else _QUERY
    thumbnails = make_thumbnails(pictures, [*rows, query_row], _THUMBNAIL_BYTES)
    found = [
        {
            "similarity": cosine,
            "path": images[row].path,
            "name": PurePosixPath(images[row].path).name,
            "key": images[row].key,
            "label": None if images[row].label is None else class_name(images[row].label or 0, album.classes),
            "thumbnail": thumbnails.get(row),
        }
        for row, cosine in zip(rows, cosines, strict=True)
    ]
    page = templates().get_template("similar.html")
    return page.render(
        query=query, thumbnail=thumbnails.get(query_row), found=found, encoder=store.manifest.encoder.name
    )
