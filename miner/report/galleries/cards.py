"""Cards: a pair, or a hub, with thumbnails and class names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from miner.artifacts.embeddings.images import EmbeddedImage, class_name
from miner.report.galleries.thumbnails import Thumbnail


@dataclass(frozen=True)
class CardImage:
    """An image on a card.

    Attributes:
        thumbnail: its thumbnail; None when the image cannot be shown.
        class_name: name of its class; None when the label is unknown.
        description: text for screen readers.
    """

    thumbnail: Thumbnail | None
    class_name: str | None
    description: str


@dataclass(frozen=True)
class Card:
    """A pair on the page.

    Attributes:
        agree: whether both labels are equal; None when a label is unknown.
    """

    similarity: float
    a: CardImage
    b: CardImage
    agree: bool | None

    @property
    def classes(self) -> list[str]:
        """Names of the known classes of its images, without repetition."""
        return list(dict.fromkeys(side.class_name for side in (self.a, self.b) if side.class_name is not None))


@dataclass(frozen=True)
class HubCard:
    """An image that is among the nearest neighbours of very many other images.

    Attributes:
        in_degree: number of neighbour lists that contain it.
    """

    image: CardImage
    in_degree: int


def cards(
    pairs: Sequence[Mapping[str, Any]],
    images: Mapping[int, EmbeddedImage],
    thumbnails: Mapping[int, Thumbnail],
    classes: Sequence[str] | None,
) -> list[Card]:
    """Cards of pairs.

    Args:
        pairs: rows of a table of pairs.
        images: the images by row.
        thumbnails: thumbnails by row.
        classes: names of the labels.
    """

    def side(pair: Mapping[str, Any], letter: str) -> CardImage:
        label = pair[f"label_{letter}"]
        name = None if label is None else class_name(label, classes)
        file = PurePosixPath(images[pair[letter]].path).name
        return CardImage(thumbnails.get(pair[letter]), name, f"{name}, {file}" if name else file)

    return [
        Card(pair["similarity"], side(pair, "a"), side(pair, "b"), same_label(pair["label_a"], pair["label_b"]))
        for pair in pairs
    ]


def same_label(a: int | None, b: int | None) -> bool | None:
    """Whether two labels are equal; None when one is unknown."""
    return None if a is None or b is None else a == b


def hub_cards(
    hubs: Sequence[Mapping[str, Any]],
    images: Mapping[int, EmbeddedImage],
    thumbnails: Mapping[int, Thumbnail],
    classes: Sequence[str] | None,
) -> list[HubCard]:
    """Cards of the hubs of a neighbour graph.

    Args:
        hubs: {"row", "key", "in_degree"}.
        images: the images by row.
        thumbnails: thumbnails by row.
        classes: names of the labels.
    """
    return [
        HubCard(card_image(images[hub["row"]], thumbnails.get(hub["row"]), classes), hub["in_degree"]) for hub in hubs
    ]


def card_image(image: EmbeddedImage, thumbnail: Thumbnail | None, classes: Sequence[str] | None) -> CardImage:
    """An image for a card, described by its class and key."""
    name = None if image.label is None else class_name(image.label, classes)
    return CardImage(thumbnail, name, f"{name}, {image.key}" if name else image.key)


def strip(gallery: Sequence[Card], count: int = 4) -> list[Card]:
    """`count` cards with thumbnails for the head of the page, evenly over the gallery; none when fewer than twice as many exist."""
    usable = [card for card in gallery if card.a.thumbnail and card.b.thumbnail]
    if len(usable) < 2 * count:
        return []
    return [usable[round((number + 0.5) * (len(usable) - 1) / count)] for number in range(count)]
