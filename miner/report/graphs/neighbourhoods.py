"""A few images with their nearest_images neighbours, by several graphs side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from miner.artifacts.embeddings.vectors import Rows
from miner.errors import MinerError
from miner.report.galleries.album import Album
from miner.report.galleries.cards import CardImage, card_image
from miner.report.galleries.thumbnails import SMALL_QUALITIES, make_thumbnails
from miner.report.graphs.features import NamedVectors, nearest_images
from miner.report.graphs.run_graphs import Neighbour, RunGraphs

_IMAGES = 6
_NEIGHBOURS = 6
_PICTURE_ROOM_BYTES = 330_000

NeighbourLists = list[list[Neighbour]]


@dataclass(frozen=True)
class NeighbourCard:
    """A neighbour as it is shown.

    Attributes:
        cosine: with the image whose neighbour it is.
        agree: whether their labels do; None when one is unknown.
    """

    image: CardImage
    cosine: float
    agree: bool | None


@dataclass(frozen=True)
class Neighbourhood:
    """An image, and its neighbours from the nearest_images on by the name of each graph."""

    image: CardImage
    lists: dict[str, list[NeighbourCard]]


def draw_images(count: int, graphs: Mapping[str, RunGraphs]) -> Rows:
    """A few of `count` images that all runs have seen, the same at every call."""
    seen = np.ones(count, bool)
    for graph in graphs.values():
        seen &= np.isin(np.arange(count), graph.rows)
    rows = np.flatnonzero(seen)
    return np.sort(np.random.default_rng(0).permutation(rows)[:_IMAGES])


def neighbour_lists(
    rows: Rows, pairs: Path | None, features: Sequence[NamedVectors], graphs: Mapping[str, RunGraphs]
) -> dict[str, NeighbourLists]:
    """The first neighbours of some images by every graph there is.

    Args:
        rows: of the images.
        pairs: the folder of a graph that was mined, shown where no features are given.
        features: whose nearest_images neighbours to look up.
        graphs: of the runs, of which the teacher's last lists are shown.
    """
    lists = {one.name: nearest_images(one.vectors, rows, _NEIGHBOURS) for one in features}
    if pairs is not None and not features:
        lists["Embeddings"] = _mined(pairs, rows)
    return lists | {
        f"Teacher of run {name}, last lists": graph.last_lists("teacher", rows, _NEIGHBOURS)
        for name, graph in graphs.items()
    }


def neighbourhoods(album: Album, rows: Rows, lists: Mapping[str, NeighbourLists]) -> list[Neighbourhood]:
    """Images with their neighbours, in the order given.

    Args:
        rows: of the images.
        lists: by graph, for each of the rows.
    """
    uses = [*rows.tolist(), *(neighbour.row for graph in lists.values() for own in graph for neighbour in own)]
    images = album.images(uses)
    pictures = make_thumbnails(album.squares(images), uses, _PICTURE_ROOM_BYTES, SMALL_QUALITIES)
    sides = {row: card_image(image, pictures.get(row), album.classes) for row, image in images.items()}

    def agree(row: int, other: int) -> bool | None:
        labels = (images[row]["label"], images[other]["label"])
        return None if None in labels else labels[0] == labels[1]

    return [
        Neighbourhood(
            sides[row],
            {
                name: [
                    NeighbourCard(sides[neighbour.row], neighbour.cosine, agree(row, neighbour.row))
                    for neighbour in graph[place]
                ]
                for name, graph in lists.items()
            },
        )
        for place, row in enumerate(rows.tolist())
    ]


def _mined(pairs: Path, rows: Rows) -> NeighbourLists:
    """Of knn_ids.npy and knn_sims.npy."""
    try:
        ids, cosines = (np.load(pairs / f"knn_{name}.npy", mmap_mode="r") for name in ("ids", "sims"))
        chosen = zip(ids[rows, :_NEIGHBOURS].tolist(), cosines[rows, :_NEIGHBOURS].tolist(), strict=True)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise MinerError(f"The neighbour graph in {pairs} is missing or damaged. Run `miner pairs --force`.") from error
    return [[Neighbour(*place) for place in zip(*own, strict=True)] for own in chosen]
