"""Bars of images by number of partners (or of neighbour lists), in steps that double."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from miner.report.charts.svg import ChartSize, Scale, line, rect, responsive, text
from miner.text import count

_ROW_HEIGHT = 27.0
_NAME_WIDTH = 92.0
_COUNT_WIDTH = 70.0


def degree_chart(degree: NDArray[np.int64], name: str = "partners") -> Markup:
    """Bars of images by number of partners.

    Args:
        degree: partners of every image, int64 (images,).
        name: the name of what is counted, such as "lists".
    """
    steps = degree_steps(degree)
    description = f"Images by number of {name}: " + "; ".join(f"{name}: {images:,}" for name, images in steps) + "."
    height = _ROW_HEIGHT * (len(steps) + 1)
    return responsive(
        description, lambda size: _draw(size, steps, name), ChartSize(760, height), ChartSize(350, height)
    )


def degree_steps(degree: NDArray[np.int64]) -> list[tuple[str, int]]:
    """Images with 0, 1, 2 to 3, 4 to 7, ... partners, up to the last step that has any."""
    steps, low = [("0", int((degree == 0).sum()))], 1
    while low <= degree.max(initial=0):
        high = 2 * low - 1
        steps.append(
            (
                f"{low}" if low == high else f"{count(low)} to {count(high)}",
                int(((degree >= low) & (degree <= high)).sum()),
            )
        )
        low = high + 1
    return steps


def _draw(size: ChartSize, steps: Sequence[tuple[str, int]], title: str) -> list[str]:
    length = Scale(0, max(images for _, images in steps), _NAME_WIDTH, size.width - _COUNT_WIDTH)
    bottom = _ROW_HEIGHT * (len(steps) + 1)
    elements = [text(0, 15, title, class_="title"), text(_NAME_WIDTH, 15, "images", class_="title")]
    for number, (name, images) in enumerate(steps, start=1):
        top, baseline = _ROW_HEIGHT * number, _ROW_HEIGHT * number + 15
        elements += [
            text(0, baseline, name, class_="tick"),
            rect(_NAME_WIDTH, top + 3, length(images), top + 19, class_="bar chosen" if number > 1 else "bar"),
            text(length(images) + 8, baseline, count(images), class_="value"),
        ]
    return [*elements, line(_NAME_WIDTH, _ROW_HEIGHT, _NAME_WIDTH, bottom - 5, "axis")]
