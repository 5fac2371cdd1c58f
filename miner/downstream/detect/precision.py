"""Average precision of detections, by the rules of VOC 2007 and of COCO.

Legend: d detections and g objects of one class on one image, t thresholds of the overlap.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miner.downstream.detect.annotations import AnnotatedImage
from miner.engine import Record

Floats = NDArray[np.float64]
Outcomes = NDArray[np.int8]
THRESHOLDS = np.linspace(0.5, 0.95, 10)
MOST_DETECTIONS = 100
# In COCO's rule these are the floats of pycocotools, in VOC's exact tenths.
_VOC_RECALLS, _COCO_RECALLS = np.arange(11) / 10, np.linspace(0.0, 1.0, 101)
_WRONG, _RIGHT, _NOT_COUNTED = 0, 1, -1


@dataclass(frozen=True)
class Detections:
    """What a detector found on one image: boxes (n, 4) as in `AnnotatedImage`, scores (n,), labels (n,)."""

    boxes: Floats
    scores: Floats
    labels: NDArray[np.int64]


def average_precisions(
    truth: Sequence[AnnotatedImage], found: Sequence[Detections], classes: Sequence[str]
) -> dict[str, Record]:
    """Average precision in percent by rule, `voc` and `coco`, of all detections of a test set.

    `voc`: 11 points of recall (Everingham et al. 2010); a detection belongs to the object that it overlaps most, and a second one
    of the same object is wrong. `coco`: 101 points (Lin et al. 2014, pycocotools); a detection takes the best object that is free,
    with the 100 highest scores per class and image, objects of all sizes; difficult objects are crowds.

    Returns:
        For each rule `ap50`, `ap75`, `ap` (the mean over overlaps of 0.5, 0.55 ... 0.95) and `ap50_by_class`; means over
        the classes that have an object which is not difficult. None if there is no such class.
    """
    rules = {"voc": (_voc_outcomes, _VOC_RECALLS), "coco": (_coco_outcomes, _COCO_RECALLS)}
    records = {}
    for rule, (outcomes, recalls) in rules.items():
        by_class = {
            name: precisions
            for label, name in enumerate(classes)
            if (precisions := _of_class(truth, found, label, outcomes, recalls)) is not None
        }
        means = 100 * np.mean([*by_class.values()], axis=0) if by_class else None
        records[rule] = {
            "ap50": None if means is None else float(means[0]),
            "ap75": None if means is None else float(means[5]),
            "ap": None if means is None else float(means.mean()),
            "ap50_by_class": {name: 100 * float(each[0]) for name, each in by_class.items()},
        }
    return records


def _of_class(
    truth: Sequence[AnnotatedImage],
    found: Sequence[Detections],
    label: int,
    outcomes_of: Callable[[Floats, NDArray[np.bool_]], Outcomes],
    recalls: Floats,
) -> Floats | None:
    """Average precision of one class by threshold (t,), 0 to 1; None if no object counts."""
    scores, outcomes, objects = [], [], 0
    for image, detections in zip(truth, found, strict=True):
        here, mine = image.labels == label, detections.labels == label
        difficult = image.difficult[here]
        objects += int((~difficult).sum())
        order = np.argsort(-detections.scores[mine], kind="stable")[:MOST_DETECTIONS]
        boxes, crowd = detections.boxes[mine][order], difficult & (outcomes_of is _coco_outcomes)
        scores.append(detections.scores[mine][order])
        outcomes.append(outcomes_of(overlaps(boxes, image.boxes[here].astype(np.float64), crowd), difficult))
    if not objects:
        return None
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return np.array([_area(row, objects, recalls) for row in np.concatenate(outcomes, axis=1)[:, order]])


def overlaps(boxes: Floats, others: Floats, crowd: NDArray[np.bool_]) -> Floats:
    """Intersection over union of boxes (d, 4) and (g, 4) -> (d, g); over the area of the first for a crowd (g,), as in COCO."""
    corner, far = (choose(boxes[:, None, half], others[None, :, half]) for choose, half in _HALVES)
    shared = (far - corner).clip(0).prod(axis=2)
    area, other_area = (np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (boxes, others))
    union = np.where(crowd, area[:, None], area[:, None] + other_area - shared)
    overlap: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap


_HALVES = ((np.maximum, slice(0, 2)), (np.minimum, slice(2, 4)))


def _voc_outcomes(overlap: Floats, difficult: NDArray[np.bool_]) -> Outcomes:
    """Whether each detection is right, wrong or not counted, by threshold: (d, g), by falling score -> (t, d)."""
    outcomes = np.full((len(THRESHOLDS), len(overlap)), _WRONG, np.int8)
    if not overlap.size:
        return outcomes
    best, most = overlap.argmax(axis=1), overlap.max(axis=1)
    for row, threshold in zip(outcomes, THRESHOLDS, strict=True):
        taken = np.zeros(len(difficult), bool)
        for place in np.flatnonzero(most >= threshold):
            thing = best[place]
            row[place] = _NOT_COUNTED if difficult[thing] else _WRONG if taken[thing] else _RIGHT
            taken[thing] = True
    return outcomes


def _coco_outcomes(overlap: Floats, difficult: NDArray[np.bool_]) -> Outcomes:
    """As `_voc_outcomes`, where a detection may take another object than the one it overlaps most."""
    outcomes = np.full((len(THRESHOLDS), len(overlap)), _WRONG, np.int8)
    if not overlap.size:
        return outcomes
    most = overlap.max(axis=1)
    for row, threshold in zip(outcomes, THRESHOLDS, strict=True):
        free = np.ones(len(difficult), bool)
        for place in np.flatnonzero(most >= threshold):
            fits = (overlap[place] >= threshold) & (free | difficult)
            if (fits & ~difficult).any():
                fits &= ~difficult
            if fits.any():
                # Of equal overlaps the last one, as in pycocotools.
                thing = len(fits) - 1 - int(np.where(fits, overlap[place], -1)[::-1].argmax())
                row[place], free[thing] = _NOT_COUNTED if difficult[thing] else _RIGHT, False
    return outcomes


def _area(outcomes: Outcomes, objects: int, recalls: Floats) -> float:
    """The mean over points of recall of the highest precision at that recall or above; outcomes (n,), by falling score."""
    counted = outcomes[outcomes != _NOT_COUNTED]
    right = np.cumsum(counted == _RIGHT)
    precision = right / np.arange(1, len(counted) + 1)
    highest = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(highest[np.searchsorted(right / objects, recalls)].mean())
