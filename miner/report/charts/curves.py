"""Numbers over the steps or epochs of training, one line per run."""

import statistics
from collections.abc import Sequence

from markupsafe import Markup

from miner.report.charts.svg import ChartSize, Scale, drawing, line, linear_ticks, path, tag, x_axis, y_axis
from miner.report.text import short_count

_SIZE = ChartSize(350, 230)
_MOST_POINTS = 240

Curve = Sequence[tuple[float, float | None]]


def curve_chart(
    curves: dict[int, Curve],
    description: str,
    *,
    from_zero: bool,
    as_percent: bool,
    over: str = "step",
    chance: float | None = None,
) -> Markup | None:
    """Lines over steps; a value that is None breaks a line.

    Args:
        curves: points (step, value) by the number of the run, which gives the line its colour.
        description: text for screen readers.
        from_zero: whether the vertical axis begins at zero.
        as_percent: whether values are shares, shown in percent.
        over: name of the horizontal axis.
        chance: the level of chance, drawn as a dashed line.
    Returns:
        The chart; None when there is no value.
    """
    values = [value for curve in curves.values() for _, value in curve if value is not None]
    if not values:
        return None
    steps = [step for curve in curves.values() for step, _ in curve]
    low, high = (limit(values if chance is None else [*values, chance]) for limit in (min, max))
    low = min(low, 0.0) if from_zero else low
    margin = (high - low) * 0.06 or max(abs(high), 1.0) * 0.1
    x = Scale(0, max(steps), 46, _SIZE.width - 14)
    y = Scale(low if from_zero else low - margin, high + margin, _SIZE.height - 40, 14)
    name = _percent if as_percent else "{:g}".format
    elements = [
        *y_axis(y, linear_ticks(y.low, y.high, 4), x.end, "", name),
        *x_axis(x, linear_ticks(0, x.high, 5), y.start, over, short_count),
        *([] if chance is None else [line(x.start, y(chance), x.end, y(chance), "chance")]),
        *(_line(x, y, thinned(curve), number) for number, curve in curves.items()),
    ]
    svg = drawing(_SIZE, elements, "small")
    return Markup(tag("div", svg, class_="chart", role="img", aria_label=description))


def thinned(curve: Curve, most: int = _MOST_POINTS) -> Curve:
    """A curve of at most `most` points; each is the mean of consecutive points of the given one."""
    size = -(-len(curve) // most)
    if size <= 1:
        return curve
    groups = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [(group[-1][0], _mean([value for _, value in group])) for group in groups]


def _line(x: Scale, y: Scale, curve: Curve, number: int) -> str:
    points = [None if value is None else (x(step), y(value)) for step, value in curve]
    if len(curve) == 1 and points[0] is not None:
        return tag("circle", cx=points[0][0], cy=points[0][1], r=3, class_=f"run-dot run-{number % 6}")
    return path(points, class_=f"run run-{number % 6}")


def _percent(share: float) -> str:
    return f"{share * 100:g}%"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
