"""A map of the embeddings, whose dots show their pictures."""

import base64
import importlib.util
import io
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from miner.artifacts.embeddings.vectors import Vectors
from miner.engine import Record
from miner.report.galleries.album import Album
from miner.report.graphs.maps import dot_places, kinds_of_dots, principal_map, scatter_chart
from miner.report.text import percent
from miner.text import counted

_DOTS, _SIDE, _COLUMNS = 600, 48, 25
_CLUSTERS, _STEPS = 10, 10


def embedding_map(album: Album, vectors: Vectors) -> Record | None:
    """A dot for each of some images, drawn at random, the same ones at every call; None for fewer than three images.

    UMAP (McInnes, Healy & Melville 2018, arXiv 1802.03426) places them where the package umap-learn is installed, and the first two
    principal components elsewhere. Colours are classes, or without labels the clusters of k-means in the space of the vectors.

    Returns:
        The chart, its legend, how dots were placed, the row of each, and for the script of the page: `places`, x and y of each dot
        in the coordinates of the chart, `names`, and `sprite`, one JPEG with their pictures in rows of `columns`.
    """
    images = len(album.metadata)
    if images < 3:
        return None
    rows = np.sort(np.random.default_rng(0).permutation(images)[:_DOTS])
    chosen = np.asarray(vectors.take(rows), np.float32)
    labels = album.labels[rows]
    by_class = bool((labels >= 0).any())
    kinds, legend = kinds_of_dots(labels if by_class else _clusters(chosen), album.classes if by_class else None)
    points, method = _placed(chosen)
    found = album.images(rows.tolist())
    pictures = album.pictures(found, _small)
    described = f"Map of {counted(len(rows), 'image')} by {method}."
    return {
        "chart": scatter_chart(points, kinds, described),
        "legend": legend if by_class else {},
        "method": method,
        "shown": len(rows),
        "images": images,
        "rows": rows.tolist(),
        "places": dot_places(points).ravel().tolist(),
        "names": [PurePosixPath(found[row].path).name for row in rows.tolist()],
        "sprite": _sprite([pictures.get(row) for row in rows.tolist()]) if pictures else None,
        "columns": _COLUMNS,
    }


def _placed(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float64], str]:
    """Coordinates (n, 2), and what gave them in words."""
    if importlib.util.find_spec("umap") is not None and len(vectors) > 15:
        import umap

        placed = umap.UMAP(metric="cosine", random_state=0, n_jobs=1).fit_transform(vectors)
        return np.asarray(
            placed, np.float64
        ), "UMAP, which keeps neighbours together; distances between groups mean little"
    points, shares = principal_map(vectors)
    return points, f"the first two principal components ({percent(shares[0])} and {percent(shares[1])} of the variance)"


def _clusters(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """The cluster of each vector by k-means, which begins with vectors far from each other; int64 (n,)."""
    centres = vectors[:1]
    while len(centres) < min(_CLUSTERS, len(vectors)):
        nearest = ((vectors[:, None] - centres) ** 2).sum(axis=2).min(axis=1)
        centres = np.concatenate([centres, vectors[nearest.argmax()][None]])
    for _ in range(_STEPS):
        of = ((vectors[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        centres = np.stack(
            [vectors[of == k].mean(axis=0) if (of == k).any() else centres[k] for k in range(len(centres))]
        )
    return np.asarray(of, np.int64)


def _small(image: Image.Image) -> Image.Image:
    return ImageOps.fit(image, (_SIDE, _SIDE), Image.Resampling.LANCZOS)


def _sprite(pictures: list[Image.Image | None]) -> str:
    """All pictures in one JPEG as a data URL."""
    sheet = Image.new("RGB", (_COLUMNS * _SIDE, -(-len(pictures) // _COLUMNS) * _SIDE), (128, 128, 128))
    for number, picture in enumerate(pictures):
        if picture is not None:
            sheet.paste(picture, (number % _COLUMNS * _SIDE, number // _COLUMNS * _SIDE))
    stream = io.BytesIO()
    sheet.save(stream, format="JPEG", quality=70, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
