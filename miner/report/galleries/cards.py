"""Which pairs are shown, and what is said about each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from miner.report.galleries.thumbnails import Thumbnail


@dataclass(frozen=True)
class CardImage:
    """One image of a pair.

    Attributes:
        picture: None when the image cannot be shown.
        class_name: None when its label is unknown.
        description: for those who do not see it.
    """

    picture: Thumbnail | None
    class_name: str | None
    description: str


@dataclass(frozen=True)
class Card:
    """A pair as it is shown.

    Attributes:
        agree: whether the labels do; None when one is unknown.
    """

    similarity: float
    a: CardImage
    b: CardImage
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

    image: CardImage
    in_degree: int


def cards(
    pairs: Sequence[Mapping[str, Any]],
    paths: Mapping[int, str],
    pictures: Mapping[int, Thumbnail],
    classes: Sequence[str] | None,
) -> list[Card]:
    """The pairs with their pictures and class names."""

    def side(pair: Mapping[str, Any], letter: str) -> CardImage:
        label = pair[f"label_{letter}"]
        name = None if label is None else class_name(label, classes)
        file = PurePosixPath(paths[pair[letter]]).name
        return CardImage(pictures.get(pair[letter]), name, f"{name}, {file}" if name else file)

    def agree(pair: Mapping[str, Any]) -> bool | None:
        labels = (pair["label_a"], pair["label_b"])
        return None if None in labels else labels[0] == labels[1]

    return [Card(pair["similarity"], side(pair, "a"), side(pair, "b"), agree(pair)) for pair in pairs]


def hub_cards(
    hubs: Sequence[Mapping[str, Any]],
    images: Mapping[int, Mapping[str, Any]],
    pictures: Mapping[int, Thumbnail],
    classes: Sequence[str] | None,
) -> list[HubCard]:
    """The hubs of a neighbour graph with their pictures and class names.

    Args:
        hubs: {"row", "key", "in_degree"}.
        images: metadata by row.
    """
    return [
        HubCard(card_image(images[hub["row"]], pictures.get(hub["row"]), classes), hub["in_degree"]) for hub in hubs
    ]


def card_image(image: Mapping[str, Any], picture: Thumbnail | None, classes: Sequence[str] | None) -> CardImage:
    """An image by its metadata, under its key."""
    name = None if image["label"] is None else class_name(image["label"], classes)
    return CardImage(picture, name, f"{name}, {image['key']}" if name else image["key"])


def strip(gallery: Sequence[Card], count: int = 4) -> list[Card]:
    """A few of the cards with pictures, evenly over the gallery, for the head of the page; none when there are too few."""
    usable = [card for card in gallery if card.a.picture and card.b.picture]
    if len(usable) < 2 * count:
        return []
    return [usable[round((number + 0.5) * (len(usable) - 1) / count)] for number in range(count)]


def class_name(label: int, classes: Sequence[str] | None) -> str:
    """The name of a label, its number where there is no name."""
    return classes[label] if classes and label < len(classes) else f"class {label}"
