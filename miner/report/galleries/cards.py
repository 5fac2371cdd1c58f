"""Which pairs are shown, and what is said about each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.pairs.table import one_order, read_pairs
from miner.report.galleries.thumbnails import Picture

_LOOK_AHEAD = 1000


@dataclass(frozen=True)
class Side:
    """One image of a pair.

    Attributes:
        picture: None when the image cannot be shown.
        class_name: None when its label is unknown.
        description: for those who do not see it.
    """

    picture: Picture | None
    class_name: str | None
    description: str


@dataclass(frozen=True)
class Card:
    """A pair as it is shown.

    Attributes:
        agree: whether the labels do; None when one is unknown.
    """

    similarity: float
    a: Side
    b: Side
    agree: bool | None

    @property
    def classes(self) -> list[str]:
        """Names of the known classes of its images."""
        return list(dict.fromkeys(side.class_name for side in (self.a, self.b) if side.class_name is not None))


@dataclass(frozen=True)
class HubCard:
    """An image that is among the nearest neighbours of very many others.

    Attributes:
        in_degree: in how many lists of neighbours it is.
    """

    image: Side
    in_degree: int


def pairs_to_show(path: Path) -> pa.Table:
    """Each pair of a table once, also where both orders are listed.

    Raises:
        MinerError: the file is missing or damaged.
    """
    return one_order(read_pairs(path, ("a", "b", "similarity", "label_a", "label_b")))


def spread_pairs(pairs: pa.Table, count: int) -> list[dict[str, Any]]:
    """At most `count` pairs, evenly spread over their similarity, from the lowest to the highest.

    Of the pairs near each step the first whose images are not among those already chosen is taken, so that one image with
    many partners does not fill the gallery. Labels have no say.
    """
    similarity = np.asarray(pairs["similarity"].to_numpy(), np.float64)
    order = np.argsort(similarity, kind="stable")
    a, b = pairs["a"].to_numpy()[order], pairs["b"].to_numpy()[order]
    places = spread_places(similarity[order], count).tolist()
    chosen, seen = [], set[int]()
    for number, place in enumerate(places):
        limit = places[number + 1] if number + 1 < len(places) else place + 1
        # The ends stay what they are: the least and the most similar pair.
        nearby = range(place, place + 1 if number == 0 else min((place + limit + 1) // 2, place + _LOOK_AHEAD))
        free = (rank for rank in nearby if a[rank] not in seen and b[rank] not in seen)
        rank = next(free, place)
        seen |= {int(a[rank]), int(b[rank])}
        chosen.append(rank)
    return pairs.take(pa.array(order[chosen], pa.int64())).to_pylist()  # type: ignore[no-any-return]


def random_pairs(pairs: pa.Table, count: int) -> list[dict[str, Any]]:
    """At most `count` pairs, each as likely as any other, the same at every call."""
    chosen = np.random.default_rng(0).permutation(len(pairs))[:count]
    return pairs.take(pa.array(chosen, pa.int64())).to_pylist()  # type: ignore[no-any-return]


def spread_places(ascending: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Up to `count` different places in an ascending array whose values are as evenly spread as can be.

    The first and the last place are always among them, if count > 1.
    """
    total = len(ascending)
    if total <= count:
        return np.arange(total)
    targets = np.linspace(ascending[0], ascending[-1], count)
    places = np.minimum(np.searchsorted(ascending, targets), total - 1)
    steps = np.arange(count)
    places = np.maximum.accumulate(places - steps) + steps
    places = np.minimum(places, total - count + steps)
    places[-1] = total - 1
    places[0] = 0
    return np.asarray(places, np.int64)


def cards(
    pairs: Sequence[Mapping[str, Any]],
    paths: Mapping[int, str],
    pictures: Mapping[int, Picture],
    classes: Sequence[str] | None,
) -> list[Card]:
    """The pairs with their pictures and class names."""

    def side(pair: Mapping[str, Any], letter: str) -> Side:
        label = pair[f"label_{letter}"]
        name = None if label is None else class_name(label, classes)
        file = PurePosixPath(paths[pair[letter]]).name
        return Side(pictures.get(pair[letter]), name, f"{name}, {file}" if name else file)

    def agree(pair: Mapping[str, Any]) -> bool | None:
        labels = (pair["label_a"], pair["label_b"])
        return None if None in labels else labels[0] == labels[1]

    return [Card(pair["similarity"], side(pair, "a"), side(pair, "b"), agree(pair)) for pair in pairs]


def hub_cards(
    hubs: Sequence[Mapping[str, Any]],
    images: Mapping[int, Mapping[str, Any]],
    pictures: Mapping[int, Picture],
    classes: Sequence[str] | None,
) -> list[HubCard]:
    """The hubs of a neighbour graph with their pictures and class names.

    Args:
        hubs: {"row", "key", "in_degree"}.
        images: metadata by row.
    """
    return [HubCard(side_of(images[hub["row"]], pictures.get(hub["row"]), classes), hub["in_degree"]) for hub in hubs]


def side_of(image: Mapping[str, Any], picture: Picture | None, classes: Sequence[str] | None) -> Side:
    """An image by its metadata, under its key."""
    name = None if image["label"] is None else class_name(image["label"], classes)
    return Side(picture, name, f"{name}, {image['key']}" if name else image["key"])


def strip(gallery: Sequence[Card], count: int = 4) -> list[Card]:
    """A few of the cards with pictures, evenly over the gallery, for the head of the page; none when there are too few."""
    usable = [card for card in gallery if card.a.picture and card.b.picture]
    if len(usable) < 2 * count:
        return []
    return [usable[round((number + 0.5) * (len(usable) - 1) / count)] for number in range(count)]


def class_name(label: int, classes: Sequence[str] | None) -> str:
    """The name of a label, its number where there is no name."""
    return classes[label] if classes and label < len(classes) else f"class {label}"
