"""Precision, coverage and number of the pairs at or above each similarity."""

from typing import Any

import numpy as np
import pyarrow as pa
from markupsafe import Markup

from miner.artifacts.pairs.statistics import BIN_WIDTH
from miner.report.charts.svg import ChartSize, Scale, line, log_ticks, path, rect, responsive, tag, text, x_axis, y_axis
from miner.report.text import percent, short_count
from miner.text import counted

_WIDE, _NARROW = ChartSize(760, 360), ChartSize(350, 330)
_MOST_LABELS = 12


def coverage_points(pairs: pa.Table, images: int) -> list[dict[str, Any]]:
    """Points of the curve of coverage, which needs no labels, in steps of `BIN_WIDTH` from the lowest similarity of a pair.

    Args:
        pairs: columns a, b (rows of images) and similarity, at least one pair.
        images: number of images searched.
    Returns:
        {"min", "pairs", "coverage"}: number of pairs at or above min, and share of the images in these pairs.
    """
    similarity = np.asarray(pairs["similarity"].to_numpy(), np.float64)
    ends = np.concatenate([pairs["a"].to_numpy(), pairs["b"].to_numpy()])
    highest = np.full(int(ends.max()) + 1, -np.inf)
    np.maximum.at(highest, ends, np.tile(similarity, 2))
    per_unit = round(1 / BIN_WIDTH)
    steps = np.arange(np.floor(similarity.min() * per_unit), np.floor(similarity.max() * per_unit) + 1) / per_unit
    return [
        {
            "min": round(float(least), 4),
            "pairs": int((similarity >= least).sum()),
            "coverage": float((highest >= least).sum() / images),
        }
        for least in steps
    ]


def precision_chart(points: list[dict[str, Any]], chance: float | None) -> Markup:
    """Two panels over one axis: precision, its chance level and coverage above, pairs on a logarithmic scale below.

    Args:
        points: {"min", "pairs", "precision", "coverage"}, at least one.
        chance: precision of pairs drawn at random; None where there are no labels, and no precision in the points.
    """
    points = sorted(points, key=lambda point: point["min"])
    low, high = points[0], points[-1]
    if chance is None:
        ends = f"{_coverage_in_words(low)}, {_coverage_in_words(high)}"
        description = f"Share of the images that are in pairs at or above a similarity: {ends}."
    else:
        description = (
            "Label precision of the pairs at or above a similarity, and the share of images in them: "
            f"{_in_words(low)}, {_in_words(high)}. Random pairs: {percent(chance)}."
        )
    return responsive(description, lambda size: _draw(size, points, chance), _WIDE, _NARROW)


def _draw(size: ChartSize, points: list[dict[str, Any]], chance: float | None) -> list[str]:
    right, bottom = size.width - 12, size.height - 40
    middle = round(bottom * 0.56)
    half_step = (points[-1]["min"] - points[0]["min"]) / max(len(points) - 1, 1) / 2 or 0.005
    x = Scale(points[0]["min"] - half_step, points[-1]["min"] + half_step, 46, right)
    share = Scale(0, 1, middle, 30)
    most = max(point["pairs"] for point in points)
    pairs = Scale(0.8, most * 1.6, bottom, middle + 46, log=True)
    every = max(1, -(-len(points) // (_MOST_LABELS if size.width > 500 else 6)))
    named = points[::every]
    return [
        *y_axis(share, [0, 0.5, 1], right, "share", "{:.0%}".format),
        path([(x(point["min"]), share(point["coverage"])) for point in points], class_="line coverage"),
        *(
            _labels(x, share, named, "coverage")
            if chance is None
            else _precision(x, share, points, named, chance, right)
        ),
        *y_axis(pairs, log_ticks(1, pairs.high, most=3), right, "pairs", short_count),
        *(_bar(x, pairs, point, half_step) for point in points),
        *(_label(x(point["min"]), pairs(point["pairs"]) - 6, f"{point['pairs']:,}") for point in named),
        *x_axis(x, [point["min"] for point in named], bottom, "at or above this cosine", "{:g}".format),
    ]


def _precision(
    x: Scale, share: Scale, points: list[dict[str, Any]], named: list[dict[str, Any]], chance: float, right: float
) -> list[str]:
    places = [(x(point["min"]), share(point["precision"])) for point in points]
    return [
        *_chance(share, chance, right),
        path(places, class_="line"),
        *(tag("circle", cx=across, cy=down, r=3.2, class_="dot") for across, down in places),
        *_labels(x, share, named, "precision"),
    ]


def _labels(x: Scale, share: Scale, named: list[dict[str, Any]], key: str) -> list[str]:
    return [_label(x(point["min"]), share(point[key]) - 9, f"{point[key]:.0%}") for point in named]


def _coverage_in_words(point: dict[str, Any]) -> str:
    return f"{percent(point['coverage'])} from {point['min']:g} ({counted(point['pairs'], 'pair')})"


def _in_words(point: dict[str, Any]) -> str:
    numbers = f"{counted(point['pairs'], 'pair')}, {percent(point['coverage'])} of the images"
    return f"{percent(point['precision'])} from {point['min']:g} ({numbers})"


def _chance(share: Scale, chance: float, right: float) -> list[str]:
    level = share(chance)
    below = chance > 0.85
    # At the left, where the coverage is highest.
    name = text(52, level + (14 if below else -6), f"random pairs {percent(chance)}", class_="tick")
    return [line(46, level, right, level, "chance"), name]


def _bar(x: Scale, pairs: Scale, point: dict[str, Any], half_step: float) -> str:
    reach = half_step * 0.62
    sides = x(point["min"] - reach), x(point["min"] + reach)
    return rect(sides[0], pairs(point["pairs"]), sides[1], pairs.start, class_="bar chosen")


def _label(x: float, y: float, content: str) -> str:
    return text(x, y, content, class_="value", text_anchor="middle")
