"""A few images and their nearest neighbours in several graphs, side by side."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from miner.artifacts.embeddings.vectors import Rows, Vectors
from miner.engine import Record
from miner.errors import MinerError
from miner.report.galleries.album import Album
from miner.report.galleries.cards import card_image, same_label
from miner.report.galleries.ranks import cosines_with_all
from miner.report.galleries.thumbnails import SMALL_QUALITIES, central_square, make_thumbnails
from miner.report.graphs.run_graphs import Neighbour, RunGraphs

_IMAGES = 6
_NEIGHBOURS = 6
_THUMBNAIL_BYTES = 330_000

_Lists = list[list[Neighbour]]


def draw_images(count: int, graphs: Mapping[str, RunGraphs]) -> Rows:
    """Rows of a few of `count` embedded images that all runs have trained on, the same ones at every call."""
    seen = np.ones(count, bool)
    for graph in graphs.values():
        seen &= np.isin(np.arange(count), graph.rows)
    rows = np.flatnonzero(seen)
    return np.sort(np.random.default_rng(0).permutation(rows)[:_IMAGES])


def neighbour_lists(
    rows: Rows, pairs: Path | None, features: Mapping[str, Vectors], graphs: Mapping[str, RunGraphs]
) -> dict[str, _Lists]:
    """The first neighbours of some images in every graph of the workspace, by the name of the graph.

    Args:
        pairs: folder of the mined neighbour graph; used only without features.
        features: features of all images by name.
        graphs: by the name of the run; the last lists of the teacher are used.
    """
    lists = {name: nearest_images(vectors, rows, _NEIGHBOURS) for name, vectors in features.items()}
    if pairs is not None and not features:
        lists["Embeddings"] = _mined(pairs, rows)
    return lists | {
        f"Teacher of run {name}, last lists": graph.last_lists("teacher", rows, _NEIGHBOURS)
        for name, graph in graphs.items()
    }


def neighbourhoods(album: Album, rows: Rows, lists: Mapping[str, _Lists]) -> list[Record]:
    """The card of each image, and those of its neighbours, by the name of the graph that lists them for each of `rows`."""
    uses = [*rows.tolist(), *(neighbour.row for graph in lists.values() for of in graph for neighbour in of)]
    images = album.images(uses)
    thumbnails = make_thumbnails(album.pictures(images, central_square), uses, _THUMBNAIL_BYTES, SMALL_QUALITIES)
    sides = {
        row: card_image(image.path, image.label, thumbnails.get(row), album.classes) for row, image in images.items()
    }

    def card(row: int, neighbour: Neighbour) -> Record:
        agree = same_label(images[row].label, images[neighbour.row].label)
        return {"image": sides[neighbour.row], "cosine": neighbour.cosine, "agree": agree}

    return [
        {
            "image": sides[row],
            "lists": {name: [card(row, each) for each in graph[place]] for name, graph in lists.items()},
        }
        for place, row in enumerate(rows.tolist())
    ]


def nearest_images(vectors: Vectors, rows: Rows, count: int) -> list[list[Neighbour]]:
    """The nearest neighbours of some images, as a neighbour graph lists them: by cosine in float64, then by row number.

    Args:
        vectors: vectors of all images.
        rows: rows of the images whose neighbours are wanted.
        count: number of neighbours; all other images if there are fewer.
    """
    cosines = cosines_with_all(vectors, rows)
    best = np.argsort(-cosines, axis=1, kind="stable")[:, : min(count, len(vectors) - 1)]
    return [[Neighbour(int(row), float(of[row])) for row in chosen] for chosen, of in zip(best, cosines, strict=True)]


def _mined(pairs: Path, rows: Rows) -> _Lists:
    """The first neighbours of some images in `knn_ids.npy` and `knn_sims.npy`."""
    try:
        ids, cosines = (np.load(pairs / f"knn_{name}.npy", mmap_mode="r") for name in ("ids", "sims"))
        chosen = zip(ids[rows, :_NEIGHBOURS].tolist(), cosines[rows, :_NEIGHBOURS].tolist(), strict=True)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise MinerError(f"The neighbour graph in {pairs} is missing or damaged. Run `miner pairs --force`.") from error
    return [[Neighbour(*place) for place in zip(*of, strict=True)] for of in chosen]
