"""Maps of features by their first two principal components."""

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from miner.artifacts.embeddings.images import class_name
from miner.artifacts.embeddings.vectors import Rows, Vectors
from miner.engine import Record
from miner.report.charts.svg import ChartSize, Scale, drawing, tag
from miner.report.text import percent
from miner.text import counted

_POINTS = 1500
_COLOURS = 10
_SIZE = ChartSize(700, 700)  # twice what is shown, so that whole numbers place dots well enough
_MARGIN = 8


def make_maps(features: Mapping[str, Vectors], labels: Rows, classes: Sequence[str] | None) -> Record:
    """A map of each kind of features. All maps show the same images, drawn at random, the same ones at every call.

    Args:
        features: features of all images by name, in the same order of rows.
        labels: labels of all images, -1 where unknown.
        classes: names of the labels.
    Returns:
        Numbers of images drawn and in all; charts, with the shares of the variance that each component explains; and a legend:
        the name of the class by the style of its dots, empty without labels.
    """
    rows = np.sort(np.random.default_rng(0).permutation(len(labels))[:_POINTS])
    kinds, legend = kinds_of_dots(labels[rows], classes)
    maps = []
    for name, vectors in features.items():
        points, shares = principal_map(vectors.take(rows))
        description = (
            f"{name}: map of {counted(len(rows), 'image')} by the first two principal components, which explain "
            f"{percent(shares[0])} and {percent(shares[1])} of the variance."
        )
        maps.append({"name": name, "shares": shares, "chart": scatter_chart(points, kinds, description)})
    return {"shown": len(rows), "images": len(labels), "maps": maps, "legend": legend}


def principal_map(vectors: NDArray[np.floating]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Coordinates by the first two principal components, and the share of the variance that each explains.

    The sign of a component is chosen so that the image with the largest coordinate lies on its positive side.

    Args:
        vectors: (n, d), n > 1. The n x n matrix of products is decomposed, which is fast for small n and any d.
    Returns:
        Coordinates, float64 (n, 2), and two shares; both are 0 if all vectors are equal.
    """
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    variances, directions = np.linalg.eigh(centred @ centred.T)
    first, second = (max(float(variance), 0.0) for variance in variances[:-3:-1])
    points = directions[:, :-3:-1] * np.sqrt([first, second])
    farthest = np.take_along_axis(points, np.abs(points).argmax(axis=0, keepdims=True), axis=0)
    whole = float((centred**2).sum()) or 1.0
    return points * np.where(farthest < 0, -1.0, 1.0), (first / whole, second / whole)


def scatter_chart(points: NDArray[np.floating], kinds: Mapping[str, NDArray[np.bool_]], description: str) -> Markup:
    """Dots at one scale for both axes, centred.

    Args:
        points: x to the right and y upwards, (n, 2), at least one.
        kinds: by style name, the points drawn in that style, bool (n,); later styles lie on top.
        description: text for screen readers.
    """
    places, layers = dot_places(points), []
    for style, chosen in kinds.items():
        # A line of no length with round ends is a dot, and the shortest way to write one.
        dots = (f"M{across} {down}h0" for across, down in places[chosen].tolist())
        layers.append(tag("path", d="".join(dots), class_=f"point {style}"))
    return Markup(tag("div", drawing(_SIZE, layers, "small"), class_="chart", role="img", aria_label=description))


def dot_places(points: NDArray[np.floating]) -> NDArray[np.int64]:
    """Where the dots of `scatter_chart` lie in its coordinates, x to the right and y downwards; int64 (n, 2)."""
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    reach = float(np.abs(points - middle).max()) or 1.0
    x, y = (Scale(centre - reach, centre + reach, _MARGIN, _SIZE.width - _MARGIN) for centre in map(float, middle))
    placed = [(round(x(across)), round(_SIZE.height - y(up))) for across, up in points.tolist()]
    return np.asarray(placed, np.int64).reshape(-1, 2)


def kinds_of_dots(labels: Rows, classes: Sequence[str] | None) -> tuple[dict[str, NDArray[np.bool_]], dict[str, str]]:
    """The dots of each style, and the legend. The most frequent classes have a colour each, all others share one."""
    known, images = np.unique(labels[labels >= 0], return_counts=True)
    if not len(known):
        return {"plain": np.ones(len(labels), bool)}, {}
    coloured = np.sort(known[np.argsort(-images, kind="stable")[:_COLOURS]])
    kinds = {f"class-{number}": labels == label for number, label in enumerate(coloured)}
    legend = {style: class_name(int(label), classes) for style, label in zip(kinds, coloured, strict=True)}
    rest = ~np.isin(labels, coloured)
    if rest.any():
        legend["rest"] = "other classes, or none"
        kinds = {"rest": rest, **kinds}
    return kinds, legend
