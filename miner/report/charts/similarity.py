"""A histogram of the similarity of all pairs, on a logarithmic scale, with the band."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from miner.artifacts.pairs.band import Band
from miner.report.charts.svg import (
    ChartSize,
    Scale,
    line,
    linear_ticks,
    log_ticks,
    path,
    rect,
    responsive,
    text,
    x_axis,
    y_axis,
)
from miner.report.text import short_count
from miner.text import count

_LABEL_WIDTH = 130


class Bin(NamedTuple):
    """Pairs whose similarity lies in [low, high); `chosen` are those that a rule has chosen, None for a band."""

    low: float
    high: float
    pairs: float
    same_label: float | None
    chosen: int | None = None


def bins_of(histogram: dict[str, Any], chosen: NDArray[np.floating] | None = None) -> list[Bin]:
    """The bins of a histogram record, without the empty ones at its low end; no bins when all are empty.

    Args:
        chosen: similarities of the pairs that a rule has chosen, (m,).
    """
    counts: Sequence[int] = histogram["counts"]
    same = histogram.get("same_label")
    width = (histogram["high"] - histogram["low"]) / len(counts)
    scale = histogram["pairs_per_count"]
    inside = (
        None if chosen is None else np.histogram(chosen, len(counts), (histogram["low"], histogram["high"]))[0].tolist()
    )
    bins = [
        Bin(
            round(histogram["low"] + number * width, 6),
            round(histogram["low"] + (number + 1) * width, 6),
            pairs * scale,
            None if same is None else same[number] * scale,
            None if inside is None else inside[number],
        )
        for number, pairs in enumerate(counts)
    ]
    first = next((number for number, pairs in enumerate(counts) if pairs), len(counts))
    return bins[first:]


def similarity_chart(
    histogram: dict[str, Any], band: Band, chosen: NDArray[np.floating] | None = None
) -> Markup | None:
    """Bars of pairs by similarity, coloured inside the band; a line for the pairs with equal labels, if labels are known.

    Args:
        histogram: as `SimilarityHistogram.record` gives it.
        chosen: similarities of the pairs of a rule on neighbour lists, (m,); their bars are coloured then.
    Returns:
        The chart; None when the histogram holds no pair.
    """
    bins = bins_of(histogram, chosen)
    if not bins:
        return None
    fullest = max(bins, key=lambda each: each.pairs)
    description = (
        f"Histogram of the cosine of all pairs of different images, from {bins[0].low:g} to {bins[-1].high:g}. Most pairs, about "
        f"{count(fullest.pairs)}, lie between {fullest.low:g} and {fullest.high:g}. "
    )
    if chosen is None:
        description += f"The band is {band}."
    else:
        description += f"The rule has chosen {count(len(chosen))} of them, below {band.high:g}."
    return responsive(description, lambda size: _draw(size, bins, band))


def _draw(size: ChartSize, bins: list[Bin], band: Band) -> list[str]:
    right, bottom, top = size.width - 12, size.height - 40, 44
    filled = [number for each in bins for number in (each.pairs, each.chosen or 0) if number > 0]
    by_rule = bins[0].chosen is not None
    x = Scale(bins[0].low if by_rule else min(bins[0].low, band.low), bins[-1].high, 46, right)
    y = Scale(min(filled) / 2, max(filled) * 1.4, bottom, top, log=True)
    narrow = size.width < 500
    return [
        *(_ceiling(x, band, top, bottom) if by_rule else _band(x, band, top, bottom)),
        *y_axis(y, log_ticks(y.low, y.high), right, "pairs", short_count),
        *(bar for each in bins if each.pairs > 0 for bar in _bars(x, y, each, band)),
        *_same_label(x, y, bins),
        *x_axis(x, linear_ticks(x.low, x.high, 6 if narrow else 10), bottom, "cosine similarity", "{:g}".format),
    ]


def _bars(x: Scale, y: Scale, each: Bin, band: Band) -> list[str]:
    """The bar of a bin, and as a second, coloured bar the part of it inside the band, or the pairs that the rule has chosen."""
    bottom, top = y.start, y(each.pairs)
    gap = min(0.8, (x(each.high) - x(each.low)) / 5)
    bars = [rect(x(each.low), top, x(each.high) - gap, bottom, class_="bar")]
    if each.chosen is not None:
        if each.chosen:
            bars.append(rect(x(each.low), y(each.chosen), x(each.high) - gap, bottom, class_="bar chosen"))
        return bars
    low, high = max(each.low, band.low), min(each.high, band.high)
    if low < high:
        bars.append(rect(x(low), top, x(high) - gap, bottom, class_="bar chosen"))
    return bars


def _band(x: Scale, band: Band, top: float, bottom: float) -> list[str]:
    low, high = x(band.low), x(min(band.high, x.high))
    name = f"band {band}"
    at_right = low + _LABEL_WIDTH > x.end
    return [
        rect(low, top - 12, high, bottom, class_="band"),
        line(low, top - 12, low, bottom, "band-edge"),
        line(high, top - 12, high, bottom, "band-edge"),
        text(high if at_right else low, top - 20, name, class_="band-name", text_anchor="end" if at_right else "start"),
    ]


def _ceiling(x: Scale, band: Band, top: float, bottom: float) -> list[str]:
    place = x(min(band.high, x.high))
    name = f"duplicates above {band.high:g}"
    return [
        line(place, top - 12, place, bottom, "band-edge"),
        text(place, top - 20, name, class_="band-name", text_anchor="end"),
    ]


def _same_label(x: Scale, y: Scale, bins: list[Bin]) -> list[str]:
    """A stepped line over the bins, interrupted where no pair has equal labels."""
    if all(not each.same_label for each in bins):
        return []
    points: list[tuple[float, float] | None] = []
    for each in bins:
        if each.same_label:
            points += [(x(each.low), y(each.same_label)), (x(each.high), y(each.same_label))]
        else:
            points.append(None)
    return [path(points, class_="same-label")]
