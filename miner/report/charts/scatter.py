"""A scatter plot: one dot per point, coloured by class."""

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from miner.report.charts.svg import ChartSize, Scale, drawing, tag

_SIZE = ChartSize(700, 700)  # twice what is shown, so that whole numbers place dots well enough
_MARGIN = 8


def scatter_chart(points: NDArray[np.floating], kinds: Mapping[str, NDArray[np.bool_]], description: str) -> Markup:
    """Dots at one scale for both axes, centred.

    Args:
        points: x to the right and y upwards, (n, 2), at least one.
        kinds: by style name, the points drawn in that style, bool (n,); later styles lie on top.
        description: text for screen readers.
    """
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    reach = float(np.abs(points - middle).max()) or 1.0
    x, y = (Scale(centre - reach, centre + reach, _MARGIN, _SIZE.width - _MARGIN) for centre in map(float, middle))
    layers = []
    for style, chosen in kinds.items():
        # A line of no length with round ends is a dot, and the shortest way to write one.
        dots = (f"M{x(across):.0f} {_SIZE.height - y(up):.0f}h0" for across, up in points[chosen].tolist())
        layers.append(tag("path", d="".join(dots), class_=f"point {style}"))
    return Markup(tag("div", drawing(_SIZE, layers, "small"), class_="chart", role="img", aria_label=description))
