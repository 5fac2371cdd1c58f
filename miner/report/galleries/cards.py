"""Which pairs the page shows, and their cards: thumbnails and class names."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.embeddings.images import EmbeddedImage, class_name
from miner.artifacts.pairs.table import one_order, read_pairs
from miner.engine import Record
from miner.report.galleries.thumbnails import Thumbnail
from miner.text import counted

_LOOK_AHEAD = 1000


def pairs_to_show(path: Path) -> pa.Table:
    """The pairs of a table, each once even if the table lists both orders.

    Raises:
        MinerError: the file is missing or damaged.
    """
    return one_order(read_pairs(path, ("a", "b", "similarity", "label_a", "label_b"), evidence=True))


def spread_pairs(pairs: pa.Table, count: int) -> list[Record]:
    """At most `count` pairs, evenly spread over the similarity, in ascending order.

    Near each step the first pair is taken whose images have not been shown yet. Otherwise one image with many partners would
    fill the gallery. Labels are not used.
    """
    similarity = np.asarray(pairs["similarity"].to_numpy(), np.float64)
    order = np.argsort(similarity, kind="stable")
    a, b = pairs["a"].to_numpy()[order], pairs["b"].to_numpy()[order]
    places = spread_places(similarity[order], count).tolist()
    chosen, seen = [], set[int]()
    for number, place in enumerate(places):
        limit = places[number + 1] if number + 1 < len(places) else place + 1
        # The first and the last pair stay the least and the most similar one.
        nearby = range(place, place + 1 if number == 0 else min((place + limit + 1) // 2, place + _LOOK_AHEAD))
        free = (rank for rank in nearby if a[rank] not in seen and b[rank] not in seen)
        rank = next(free, place)
        seen |= {int(a[rank]), int(b[rank])}
        chosen.append(rank)
    return pairs.take(pa.array(order[chosen], pa.int64())).to_pylist()  # type: ignore[no-any-return]


def drawn_pairs(pairs: pa.Table, count: int) -> list[Record]:
    """At most `count` pairs, drawn uniformly at random, the same ones at every call."""
    chosen = np.random.default_rng(0).permutation(len(pairs))[:count]
    return pairs.take(pa.array(chosen, pa.int64())).to_pylist()  # type: ignore[no-any-return]


def spread_places(ascending: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Up to `count` different positions in an ascending array, at values that are evenly spread.

    The first and the last position are always among them if `count` > 1.
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
    pairs: Sequence[Record],
    images: Mapping[int, EmbeddedImage],
    thumbnails: Mapping[int, Thumbnail],
    classes: Sequence[str] | None,
) -> list[Record]:
    """The variables of the cards of pairs.

    Args:
        pairs: rows of a table of pairs.
        images, thumbnails: by row of the image.
        classes: names of the labels.
    """

    def side(pair: Record, letter: str) -> Record:
        row = pair[letter]
        return card_image(images[row].path, pair[f"label_{letter}"], thumbnails.get(row), classes)

    def card(pair: Record) -> Record:
        a, b = side(pair, "a"), side(pair, "b")
        names = dict.fromkeys(side["class_name"] for side in (a, b) if side["class_name"] is not None)
        agree = same_label(pair["label_a"], pair["label_b"])
        shown = {"similarity": pair["similarity"], "a": a, "b": b, "agree": agree, "classes": list(names)}
        return {**shown, "reasons": reasons(pair)}

    return [card(pair) for pair in pairs]


def reasons(pair: Record) -> list[str]:
    """Why two images are a pair, beside their cosine: the ranks, and the columns that the rule has written."""
    found = []
    if "rank_a" in pair:
        there, back = (pair[name] or "not listed" for name in ("rank_b", "rank_a"))
        found.append(f"rank a→b {there}, b→a {back}")
    if "mean_a" in pair:
        found.append(f"local means {pair['mean_a']:.3f} and {pair['mean_b']:.3f}")
    if "local" in pair:
        found.append(f"locally scaled {pair['local']:.3f}")
    if "shared" in pair:
        found.append(f"{pair['shared']} neighbours shared")
    if "votes" in pair:
        others = [f"{cosine:.3f}" for name, cosine in pair.items() if name.startswith("similarity_")]
        found.append(
            f"chosen in {pair['votes']} of {counted(len(others) + 1, 'embedding')} (cosines there {', '.join(others)})"
        )
    return found


def card_image(path: str, label: int | None, thumbnail: Thumbnail | None, classes: Sequence[str] | None) -> Record:
    """The variables of an image on a card. Screen readers read its class and the name of its file."""
    name, file = None if label is None else class_name(label, classes), PurePosixPath(path).name
    described = f"{name}, {file}" if name else file
    return {"thumbnail": thumbnail, "class_name": name, "description": described, "path": path}


def same_label(a: int | None, b: int | None) -> bool | None:
    """Whether two labels are equal; None when one is unknown."""
    return None if a is None or b is None else a == b


def strip(gallery: Sequence[Record], count: int = 4) -> list[Record]:
    """`count` cards with thumbnails for the head of the page, evenly over the gallery; none when fewer than twice as many exist."""
    usable = [card for card in gallery if card["a"]["thumbnail"] and card["b"]["thumbnail"]]
    if len(usable) < 2 * count:
        return []
    return [usable[round((number + 0.5) * (len(usable) - 1) / count)] for number in range(count)]
