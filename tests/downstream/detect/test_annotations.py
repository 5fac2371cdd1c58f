"""Folders of the VOC and COCO formats, sound and broken."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miner.downstream.detect.annotations import open_annotated
from miner.errors import MinerError
from tests.downstream.detect.made_set import write_made_set

PHOTOGRAPHS = {"cat": [Image.new("RGB", (8, 12), "white")], "apple": [Image.new("RGB", (9, 9), "black")]}


def test_both_formats_give_the_same_boxes(tmp_path: Path) -> None:
    voc = open_annotated([write_made_set(tmp_path / "voc", "train", PHOTOGRAPHS, 9, 32)])
    coco = open_annotated([write_made_set(tmp_path / "coco", "train", PHOTOGRAPHS, 9, 32, coco=True)])
    assert (voc.format, voc.classes, coco.format, coco.classes) == ("voc", ("apple", "cat"), "coco", ("cat", "apple"))
    for one, other in zip(voc.images, coco.images, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        assert [voc.classes[label] for label in one.labels] == [coco.classes[label] for label in other.labels]
        assert one.path.read_bytes() == other.path.read_bytes()


def test_parts_are_joined_with_the_classes_of_training(tmp_path: Path) -> None:
    parts = [write_made_set(tmp_path, part, PHOTOGRAPHS, 3, 32) for part in ("a", "b")]
    train = open_annotated(parts)
    assert len(train.images) == 6 and train.spec == ",".join(parts)
    cats = write_made_set(tmp_path, "cats", {"cat": PHOTOGRAPHS["cat"]}, 2, 32)
    assert open_annotated([cats], train).classes == train.classes
    dogs = write_made_set(tmp_path, "dogs", {"dog": PHOTOGRAPHS["cat"]}, 2, 32)
    with pytest.raises(MinerError, match="class 'dog', which no training image has"):
        open_annotated([dogs], train)
    with pytest.raises(MinerError, match="mix the formats"):
        open_annotated([write_made_set(tmp_path / "c", "c", PHOTOGRAPHS, 1, 32, coco=True)], train)


def test_identity_follows_boxes_and_files(tmp_path: Path) -> None:
    spec = write_made_set(tmp_path, "a", PHOTOGRAPHS, 2, 32)
    first = open_annotated([spec]).identity()
    assert first == open_annotated([spec]).identity()
    file = tmp_path / "Annotations/a0001.xml"
    file.write_text(file.read_text().replace("<difficult>0<", "<difficult>1<"))
    assert open_annotated([spec]).identity() != first


def test_voc_trains_on_difficult_objects_and_coco_not_on_crowds(tmp_path: Path) -> None:
    voc, coco = (write_made_set(tmp_path / str(kind), "a", PHOTOGRAPHS, 2, 32, coco=kind) for kind in (False, True))
    for file in tmp_path.glob("False/Annotations/*.xml"):
        file.write_text(file.read_text().replace("<difficult>0<", "<difficult>1<"))
    change_coco(tmp_path / "True/annotations/instances_a.json", lambda one: one.update(iscrowd=1))
    assert all(image.difficult.all() for spec in (voc, coco) for image in open_annotated([spec]).images)
    assert len(open_annotated([voc]).for_training()) == 2 and not open_annotated([coco]).for_training()


def test_boxes_without_area_are_tested_and_not_trained_on(tmp_path: Path) -> None:
    spec = write_made_set(tmp_path, "a", PHOTOGRAPHS, 2, 32, coco=True)
    change_coco(tmp_path / "annotations/instances_a.json", lambda one: one["bbox"].__setitem__(3, 0))
    assert (
        all(len(image.boxes) for image in open_annotated([spec]).images) and not open_annotated([spec]).for_training()
    )


BROKEN_VOC = {
    "</annotation>": ("", "a0001.xml is missing or damaged"),
    "<xmin>": ("<xmin>none", "a0001.xml is missing or damaged"),
    "<ymax>": ("<ymax>-", "a0001.xml has a .* whose box ends before it begins"),
    "<xmax>": ("<xmax>nan</xmax><xmax>", "a0001.xml has a .* whose box"),
    "<name>": ("<name/><name>", "an object has no name"),
    "bndbox": ("box", "an object has no bndbox/xmin"),
}


@pytest.mark.parametrize("old", BROKEN_VOC)
def test_broken_voc_file_is_named(tmp_path: Path, old: str) -> None:
    spec = write_made_set(tmp_path, "a", PHOTOGRAPHS, 2, 32)
    new, message = BROKEN_VOC[old]
    file = tmp_path / "Annotations/a0001.xml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(MinerError, match=message):
        open_annotated([spec])


BROKEN_COCO: dict[str, tuple[Callable[[dict[str, object]], object], str]] = {
    "short box": (lambda one: one.update(bbox=[1, 2, 3]), r"damaged \(not enough values"),
    "words": (lambda one: one.update(bbox=["a", 1, 2, 3]), "damaged .could not convert"),
    "no box": (lambda one: one.pop("bbox"), "damaged .it has no 'bbox'"),
    "backwards": (lambda one: one.update(bbox=[5, 5, -1, 4]), "whose box ends before it begins"),
    "no image": (lambda one: one.update(image_id=77), "names the image 77"),
    "no category": (lambda one: one.update(category_id=3), "the category 3; one is not listed"),
}


@pytest.mark.parametrize("case", BROKEN_COCO)
def test_broken_coco_file_is_named(tmp_path: Path, case: str) -> None:
    spec = write_made_set(tmp_path, "a", PHOTOGRAPHS, 2, 32, coco=True)
    change, message = BROKEN_COCO[case]
    change_coco(tmp_path / "annotations/instances_a.json", change)
    with pytest.raises(MinerError, match=message) as raised:
        open_annotated([spec])
    assert "instances_a.json" in str(raised.value)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"categories": [], "images": [3], "annotations": []}'])
def test_coco_file_of_another_shape_is_named(tmp_path: Path, text: str) -> None:
    spec = write_made_set(tmp_path, "a", PHOTOGRAPHS, 1, 32, coco=True)
    (tmp_path / "annotations/instances_a.json").write_text(text)
    with pytest.raises(MinerError, match=r"instances_a.json are damaged"):
        open_annotated([spec])


def test_missing_places_and_photographs_are_named(tmp_path: Path) -> None:
    spec = write_made_set(tmp_path, "a", PHOTOGRAPHS, 2, 32)
    for wrong in (f"{tmp_path}:b", str(tmp_path), f"{tmp_path}/none:a"):
        with pytest.raises(MinerError, match="names no photographs with boxes"):
            open_annotated([wrong])
    (tmp_path / "JPEGImages/a0001.jpg").unlink()
    with pytest.raises(MinerError, match=r"a0001.jpg, which is not there"):
        open_annotated([spec])
    (tmp_path / "ImageSets/Main/a.txt").write_text("\n")
    with pytest.raises(MinerError, match="lists no photograph"):
        open_annotated([spec])


def change_coco(file: Path, change: Callable[[dict[str, object]], object]) -> None:
    content = json.loads(file.read_text())
    for one in content["annotations"]:
        change(one)
    file.write_text(json.dumps(content))
