"""A few images and their nearest neighbours in several graphs, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from miner.artifacts.embeddings.vectors import Rows
from miner.errors import MinerError
from miner.report.galleries.album import Album
from miner.report.galleries.cards import CardImage, card_image, same_label
from miner.report.galleries.thumbnails import SMALL_QUALITIES, make_thumbnails
from miner.report.graphs.features import NamedVectors, nearest_images
from miner.report.graphs.run_graphs import Neighbour, RunGraphs

_IMAGES = 6
_NEIGHBOURS = 6
_THUMBNAIL_BYTES = 330_000

_Lists = list[list[Neighbour]]


@dataclass(frozen=True)
class NeighbourCard:
    """A neighbour of an image, on the page.

    Attributes:
        cosine: cosine of the neighbour and the image.
        agree: whether both have the same label; None when a label is unknown.
    """

    image: CardImage
    cosine: float
    agree: bool | None


@dataclass(frozen=True)
class Neighbourhood:
    """An image and its neighbours, the nearest first, by the name of the graph."""

    image: CardImage
    lists: dict[str, list[NeighbourCard]]


def draw_images(count: int, graphs: Mapping[str, RunGraphs]) -> Rows:
    """Rows of a few images that all runs have trained on, the same ones at every call.

    Args:
        count: number of embedded images.
        graphs: by the name of the run.
    """
    seen = np.ones(count, bool)
    for graph in graphs.values():
        seen &= np.isin(np.arange(count), graph.rows)
    rows = np.flatnonzero(seen)
    return np.sort(np.random.default_rng(0).permutation(rows)[:_IMAGES])


def neighbour_lists(
    rows: Rows, pairs: Path | None, features: Sequence[NamedVectors], graphs: Mapping[str, RunGraphs]
) -> dict[str, _Lists]:
    """The first neighbours of some images in every graph of the workspace, by the name of the graph.

    Args:
        rows: rows of the images.
        pairs: folder of the mined neighbour graph; used only without features.
        features: features to find the nearest neighbours in.
        graphs: by the name of the run; the last lists of the teacher are used.
    """
    lists = {one.name: nearest_images(one.vectors, rows, _NEIGHBOURS) for one in features}
    if pairs is not None and not features:
        lists["Embeddings"] = _mined(pairs, rows)
    return lists | {
        f"Teacher of run {name}, last lists": graph.last_lists("teacher", rows, _NEIGHBOURS)
        for name, graph in graphs.items()
    }


def neighbourhoods(album: Album, rows: Rows, lists: Mapping[str, _Lists]) -> list[Neighbourhood]:
    """Images with their neighbours, in the order of `rows`.

    Args:
        album: gives metadata and thumbnails.
        rows: rows of the images.
        lists: by the name of the graph, a list of neighbours for each row.
    """
    uses = [*rows.tolist(), *(neighbour.row for graph in lists.values() for of in graph for neighbour in of)]
    images = album.images(uses)
    thumbnails = make_thumbnails(album.squares(images), uses, _THUMBNAIL_BYTES, SMALL_QUALITIES)
    sides = {row: card_image(image, thumbnails.get(row), album.classes) for row, image in images.items()}

    def card(row: int, neighbour: Neighbour) -> NeighbourCard:
        agree = same_label(images[row].label, images[neighbour.row].label)
        return NeighbourCard(sides[neighbour.row], neighbour.cosine, agree)

    return [
        Neighbourhood(sides[row], {name: [card(row, each) for each in graph[place]] for name, graph in lists.items()})
        for place, row in enumerate(rows.tolist())
    ]


def _mined(pairs: Path, rows: Rows) -> _Lists:
    """The first neighbours of some images in `knn_ids.npy` and `knn_sims.npy`."""
    try:
        ids, cosines = (np.load(pairs / f"knn_{name}.npy", mmap_mode="r") for name in ("ids", "sims"))
        chosen = zip(ids[rows, :_NEIGHBOURS].tolist(), cosines[rows, :_NEIGHBOURS].tolist(), strict=True)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise MinerError(f"The neighbour graph in {pairs} is missing or damaged. Run `miner pairs --force`.") from error
    return [[Neighbour(*place) for place in zip(*of, strict=True)] for of in chosen]
