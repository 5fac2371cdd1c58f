"""Maps of features by their first two principal components."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from miner.artifacts.embeddings.images import class_name
from miner.artifacts.embeddings.vectors import Rows
from miner.report.charts.scatter import scatter_chart
from miner.report.graphs.features import NamedVectors
from miner.report.text import counted, percent

_POINTS = 1500
_COLOURS = 10


@dataclass(frozen=True)
class Map:
    """Images as dots in a plane.

    Attributes:
        name: name of the features.
        shares: shares of the variance that the first and the second component explain.
    """

    name: str
    shares: tuple[float, float]
    chart: Markup


@dataclass(frozen=True)
class Maps:
    """Maps of the same images by several features.

    Attributes:
        shown: number of images drawn.
        images: number of images in all.
        legend: the name of the class by the style of its dots; empty without labels.
    """

    shown: int
    images: int
    maps: list[Map]
    legend: dict[str, str]


def make_maps(features: Sequence[NamedVectors], labels: Rows, classes: Sequence[str] | None) -> Maps:
    """A map of each kind of features. All maps show the same images, drawn at random, the same ones at every call.

    Args:
        features: features of all images, in the same order of rows.
        labels: labels of all images, -1 where unknown.
        classes: names of the labels.
    """
    rows = np.sort(np.random.default_rng(0).permutation(len(labels))[:_POINTS])
    kinds, legend = _kinds(labels[rows], classes)
    maps = []
    for one in features:
        points, shares = principal_map(one.vectors.take(rows))
        description = (
            f"{one.name}: map of {counted(len(rows), 'image')} by the first two principal components, which explain "
            f"{percent(shares[0])} and {percent(shares[1])} of the variance."
        )
        maps.append(Map(one.name, shares, scatter_chart(points, kinds, description)))
    return Maps(len(rows), len(labels), maps, legend)


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


def _kinds(labels: Rows, classes: Sequence[str] | None) -> tuple[dict[str, NDArray[np.bool_]], dict[str, str]]:
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
