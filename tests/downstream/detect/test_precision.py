"""Average precision against a case that is worked by hand, and against pycocotools."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest

from miner.downstream.detect.annotations import AnnotatedImage
from miner.downstream.detect.precision import Detections, average_precisions


def image(boxes: list[list[float]], labels: list[int], difficult: list[bool] | None = None) -> AnnotatedImage:
    hard = np.array(difficult if difficult is not None else [False] * len(boxes), bool)
    return AnnotatedImage(Path("a.jpg"), np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64), hard)


def detections(boxes: list[list[float]], scores: list[float], labels: list[int] | None = None) -> Detections:
    kinds = labels if labels is not None else [0] * len(boxes)
    return Detections(np.array(boxes, np.float64).reshape(-1, 4), np.array(scores), np.array(kinds, np.int64))


FIRST, SECOND, THIRD, NOWHERE = [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [0, 50, 10, 60]


def test_voc_by_hand_with_a_difficult_object() -> None:
    # Objects: three that count and a difficult one. By falling score: right, right, not counted (difficult), second of the
    # first object: wrong, nowhere: wrong. Precision 1, 1, 2/3, 2/4 at recall 1/3, 2/3, 2/3, 2/3: 7 of 11 points have 1, the rest 0.
    truth = [image([FIRST, SECOND, THIRD], [0, 0, 0], [False, False, True]), image([FIRST], [0])]
    found = [
        detections([FIRST, SECOND, THIRD, [0, 0, 10, 9]], [0.9, 0.8, 0.7, 0.6]),
        detections([NOWHERE], [0.5]),
    ]
    assert average_precisions(truth, found, ["a"])["voc"]["ap50"] == pytest.approx(100 * 7 / 11)


def test_voc_takes_the_highest_precision_beyond() -> None:
    # By falling score: wrong, right, right of two objects. Precision 0, 1/2, 2/3 at recall 0, 1/2, 1: 2/3 at all 11 points.
    truth, found = [image([FIRST, SECOND], [0, 0])], [detections([NOWHERE, FIRST, SECOND], [0.9, 0.8, 0.7])]
    record = average_precisions(truth, found, ["a"])["voc"]
    assert [record[name] for name in ("ap50", "ap75", "ap")] == pytest.approx([200 / 3] * 3)


def test_second_detection_of_an_object_is_wrong_in_voc_only() -> None:
    # The second detection overlaps the taken object by 9/11 and the free one by 2/3.
    truth = [image([[0, 0, 10, 10], [0, 2, 10, 12]], [0, 0])]
    found = [detections([[0, 0, 10, 10], [0, 0.9, 10, 10.9]], [0.9, 0.8])]
    record = average_precisions(truth, found, ["a"])
    assert record["voc"]["ap50"] == pytest.approx(100 * 6 / 11) and record["coco"]["ap50"] == pytest.approx(100)


def test_classes_without_an_object_do_not_count() -> None:
    truth, found = [image([FIRST, SECOND], [0, 1], [False, True])], [detections([FIRST], [0.9])]
    record = average_precisions(truth, found, ["a", "b", "c"])
    assert record["coco"]["ap50_by_class"] == {"a": 100.0} and record["voc"]["ap50"] == 100.0
    empty = average_precisions([image([], [])], [detections([], [])], ["a"])
    assert empty["voc"] == {"ap50": None, "ap75": None, "ap": None, "ap50_by_class": {}}


@pytest.mark.parametrize("seed", range(4))
def test_coco_equals_pycocotools(seed: int) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    truth, found = random_case(np.random.default_rng(seed))
    ours = average_precisions(truth, found, ["a", "b", "c"])["coco"]
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco.COCO()
        known.dataset = as_coco(truth)
        known.createIndex()
        rows = [
            [number, *box[:2], *(box[2:] - box[:2]), score, label]
            for number, each in enumerate(found)
            for box, score, label in zip(each.boxes, each.scores, each.labels, strict=True)
        ]
        theirs = evaluation.COCOeval(known, known.loadRes(np.array(rows)), "bbox")
        theirs.evaluate()
        theirs.accumulate()
        theirs.summarize()
    assert [ours["ap"], ours["ap50"], ours["ap75"]] == pytest.approx(list(100 * theirs.stats[:3]), abs=1e-9)
    assert 5 < ours["ap"] < 95


def random_case(rng: np.random.Generator) -> tuple[list[AnnotatedImage], list[Detections]]:
    """20 images with objects, some of them crowds, detections near them with equal scores among them, and detections elsewhere."""
    truth, found = [], []
    for _ in range(20):
        count = int(rng.integers(0, 7))
        corner, size = rng.integers(0, 60, (count, 2)), rng.integers(8, 40, (count, 2))
        boxes = np.concatenate([corner, corner + size], axis=1)
        labels = rng.integers(0, 3, count)
        truth.append(image(boxes.tolist(), labels.tolist(), (rng.random(count) < 0.2).tolist()))
        moved = boxes[:, None] + rng.integers(-5, 6, (count, 3, 4))
        moved[..., 2:] = np.maximum(moved[..., 2:], moved[..., :2] + 1)
        others = rng.integers(0, 50, (5, 2))
        near, far = moved.reshape(-1, 4), np.concatenate([others, others + 20], axis=1)
        kinds = np.concatenate([np.repeat(labels, 3), rng.integers(0, 3, 5)])
        scores = np.concatenate([rng.integers(3, 10, len(near)), rng.integers(0, 8, 5)]) / 10
        found.append(detections(np.concatenate([near, far]).tolist(), scores.tolist(), kinds.tolist()))
    return truth, found


def as_coco(truth: list[AnnotatedImage]) -> dict[str, object]:
    annotations = [
        {"image_id": number, "category_id": int(label), "bbox": [*box[:2], *(box[2:] - box[:2])], "iscrowd": int(crowd)}
        for number, each in enumerate(truth)
        for box, label, crowd in zip(each.boxes.tolist(), each.labels, each.difficult, strict=True)
        for box in [np.array(box)]
    ]
    complete = [
        {"id": number, "area": float(np.prod(one["bbox"][2:])), **one} for number, one in enumerate(annotations, 1)
    ]
    return {
        "images": [{"id": number} for number in range(len(truth))],
        "categories": [{"id": label, "name": name} for label, name in enumerate("abc")],
        "annotations": complete,
    }
