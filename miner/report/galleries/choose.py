"""Which pairs the page shows."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from miner.artifacts.pairs.table import one_order, read_pairs

_LOOK_AHEAD = 1000


def pairs_to_show(path: Path) -> pa.Table:
    """The pairs of a table, each once even if the table lists both orders.

    Raises:
        MinerError: the file is missing or damaged.
    """
    return one_order(read_pairs(path, ("a", "b", "similarity", "label_a", "label_b")))


def spread_pairs(pairs: pa.Table, count: int) -> list[dict[str, Any]]:
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


def drawn_pairs(pairs: pa.Table, count: int) -> list[dict[str, Any]]:
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
