"""Tables, and means over seeds with their 95 % intervals: as records, Markdown, CSV, lines and a figure."""

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from miner.statistics import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]


def interval_record(values: Sequence[float], digits: int) -> Row:
    """The mean of values, one per seed, and `half_width` of its 95 % interval, both rounded; one value has no interval, so None."""
    found = mean_interval(values)
    half_width = None if found.half_width is None else round(found.half_width, digits)
    return {"mean": round(found.mean, digits), "half_width": half_width}


def interval_text(record: Row, digits: int, sign: str = "") -> str:
    """An `interval_record` for people, such as 87.65 ± 0.12; `sign` "+" shows the sign of positive means too."""
    mean, half_width = f"{record['mean']:{sign}.{digits}f}", record["half_width"]
    return mean if half_width is None else f"{mean} ± {half_width:.{digits}f}"


def markdown_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """One line per row."""
    return [f"| {' | '.join(cells)} |" for cells in rows]


def aligned(rows: Sequence[Sequence[str]], numbers: bool = False) -> list[str]:
    """One indented line per row, for a terminal; of `numbers`, all columns but the first end at the same place."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    fill = str.rjust if numbers else str.ljust
    return ["  " + "  ".join([row[0].ljust(widths[0]), *map(fill, row[1:], widths[1:])]).rstrip() for row in rows]


def csv_text(names: Sequence[str], rows: Sequence[Row]) -> str:
    """A header and one line per row; what is None or missing stays empty, and other columns are left out."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def plot_intervals(
    axes: "Axes", names: Sequence[str], records: Sequence[Row], colours: Sequence[str], **marks: Any
) -> None:
    """Draw the means of `interval_record` with their intervals, the first row on top; every value of `by_seed` becomes a tick.

    `marks` are options of matplotlib's `errorbar`.
    """
    places = range(len(names))[::-1]
    for place, record, colour in zip(places, records, colours, strict=True):
        axes.errorbar(record["mean"], place, xerr=record["half_width"], fmt="o", color=colour, **marks)
        if len(values := record.get("by_seed", ())) > 1:
            axes.plot(values, [place] * len(values), "|", color=colour, markersize=9)
    axes.set_yticks(places, names)
