"""In how many pairs an image is: images by number of partners, in doubling steps."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from miner.report.charts.svg import Scale, Size, line, rect, responsive, text
from miner.report.text import count

_WIDE = Size(760, 220)


def degree_chart(degree: NDArray[np.int64]) -> Markup:
    """Bars of images by number of partners.

    Args:
        degree: partners of every image, int64 (images,).
    """
    steps = degree_steps(degree)
    description = "Images by number of partners: " + "; ".join(f"{name}: {images:,}" for name, images in steps) + "."
    return responsive(description, lambda size: _draw(size, steps), _WIDE)


def degree_steps(degree: NDArray[np.int64]) -> list[tuple[str, int]]:
    """Images with 0, 1, 2-3, 4-7, ... partners, up to the last step that has any."""
    steps, low = [("0", int((degree == 0).sum()))], 1
    while low <= degree.max(initial=0):
        high = 2 * low - 1
        steps.append((f"{low}" if low == high else f"{low}-{high}", int(((degree >= low) & (degree <= high)).sum())))
        low = high + 1
    return steps


def _draw(size: Size, steps: Sequence[tuple[str, int]]) -> list[str]:
    bottom, slot = size.height - 40, min(size.width / len(steps), 96)
    height = Scale(0, max(images for _, images in steps), bottom, 24)
    elements = [line(0, bottom, slot * len(steps), bottom, "axis")]
    for number, (name, images) in enumerate(steps):
        left, middle = slot * number + slot * 0.14, slot * (number + 0.5)
        kind = "bar chosen" if number else "bar"
        elements += [
            rect(left, height(images), left + slot * 0.72, bottom, class_=kind),
            text(middle, height(images) - 6, count(images), class_="value", text_anchor="middle"),
            text(middle, bottom + 17, name, class_="tick", text_anchor="middle"),
        ]
    return [*elements, text(0, bottom + 34, "partners of an image", class_="title")]
