"""Photographs with boxes, from folders of the VOC and COCO formats."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from miner.engine import fingerprint
from miner.errors import MinerError


@dataclass(frozen=True)
class AnnotatedImage:
    """A photograph and the objects on it.

    Attributes:
        boxes: float32 (objects, 4): left, top, right, bottom, in pixels from the upper left corner.
        labels: int64 (objects,), indices into the classes of the set.
        difficult: bool (objects,); a test neither asks for these objects nor counts them as errors.
    """

    path: Path
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]


@dataclass(frozen=True)
class AnnotatedSet:
    """One part of a data set, in the order of its list.

    Attributes:
        format: voc, where `difficult` objects are trained on; or coco, where difficult means a crowd and they are not.
    """

    spec: str
    format: Literal["voc", "coco"]
    classes: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]

    def for_training(self) -> list[AnnotatedImage]:
        """The images and objects that a detector learns from: no crowds, no boxes without area, no images without boxes."""
        kept = []
        for image in self.images:
            usable = (image.boxes[:, 2:] > image.boxes[:, :2]).all(axis=1)
            if self.format == "coco":
                usable &= ~image.difficult
            if usable.any():
                kept.append(
                    AnnotatedImage(image.path, image.boxes[usable], image.labels[usable], image.difficult[usable])
                )
        return kept

    def identity(self) -> str:
        """A short sha256 of all annotations and of the name and size of each file."""
        return fingerprint(
            [self.format, self.classes]
            + [
                [image.path.name, image.path.stat().st_size]
                + [part.tolist() for part in (image.boxes, image.labels, image.difficult)]
                for image in self.images
            ]
        )


@dataclass(frozen=True)
class _Found:
    """An object as a file has it."""

    name: str
    box: tuple[float, ...]
    difficult: bool


def open_annotated(specs: list[str], like: AnnotatedSet | None = None) -> AnnotatedSet:
    """Read one or several parts of data sets as one set.

    Args:
        specs: FOLDER:PART each, as `VOCdevkit/VOC2007:trainval` or `coco:val2017`.
        like: the training images, which give the classes and the format. If None: all classes that are found.
    Raises:
        MinerError: a folder has neither format, a file is missing or damaged, or a class is unknown.
    """
    formats, listed = {like.format} if like else set(), []
    known: list[str] = []
    for spec in specs:
        name, _, part = spec.rpartition(":")
        folder = Path(name)
        instances, names = folder / f"annotations/instances_{part}.json", folder / f"ImageSets/Main/{part}.txt"
        if not name or not (instances.is_file() or names.is_file()):
            raise MinerError(
                f"{spec} names no photographs with boxes. Give FOLDER:PART, where there is {instances.relative_to(folder)} "
                f"(COCO) or {names.relative_to(folder)} (VOC) in the folder."
            )
        formats.add("coco" if instances.is_file() else "voc")
        found = list(_read_coco(instances, folder / part, known) if instances.is_file() else _read_voc(folder, names))
        if not found:
            raise MinerError(f"{spec} lists no photograph.")
        listed += found
    if len(formats) > 1:
        raise MinerError(
            f"{', '.join(specs)} and the other parts mix the formats VOC and COCO. Give parts of one format."
        )
    named = {thing.name for _, things in listed for thing in things}
    # The order of a COCO file, or that of the alphabet, as in VOC's list.
    classes = like.classes if like else (*known, *sorted(named - {*known}))
    if unknown := sorted(named - {*classes}):
        raise MinerError(f"{', '.join(specs)} has objects of the class {unknown[0]!r}, which no training image has.")
    number = {name: place for place, name in enumerate(classes)}
    images = [
        AnnotatedImage(
            path,
            np.array([thing.box for thing in things], np.float32).reshape(-1, 4),
            np.array([number[thing.name] for thing in things], np.int64),
            np.array([thing.difficult for thing in things], bool),
        )
        for path, things in listed
    ]
    return AnnotatedSet(",".join(specs), "coco" if "coco" in formats else "voc", classes, tuple(images))


def _read_voc(folder: Path, names: Path) -> Iterator[tuple[Path, list[_Found]]]:
    """The photographs that a list of VOC names; boxes there have 1 as first and are inclusive, so left and top are 1 less here."""
    for line in names.read_text("utf-8").splitlines():
        if not line.strip():
            continue
        # Lists of single classes have a second column.
        name = line.split()[0]
        file = folder / "Annotations" / f"{name}.xml"
        try:
            root = ElementTree.parse(file).getroot()
            things = [_voc_object(thing) for thing in root.iter("object")]
            image = root.findtext("filename") or ""
        except (OSError, ElementTree.ParseError, ValueError) as error:
            raise MinerError(f"The annotation {file} is missing or damaged ({error}).") from error
        path = folder / "JPEGImages" / f"{name}.jpg"
        if not path.is_file():
            path = path.with_name(image or path.name)
        yield _existing(path, file), [_checked(thing, file) for thing in things]


def _voc_object(thing: ElementTree.Element) -> _Found:
    box = [float(_text(thing, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
    difficult = bool(int(thing.findtext("difficult") or 0))
    return _Found(_text(thing, "name"), (box[0] - 1, box[1] - 1, box[2], box[3]), difficult)


def _text(thing: ElementTree.Element, path: str) -> str:
    found = (thing.findtext(path) or "").strip()
    if not found:
        raise ValueError(f"an object has no {path}")
    return found


def _read_coco(file: Path, folder: Path, known: list[str]) -> Iterator[tuple[Path, list[_Found]]]:
    """The photographs of a COCO file, by identifier; the names of its classes, by identifier, are added to `known`."""
    try:
        content = json.loads(file.read_bytes())
        names = {
            int(each["id"]): str(each["name"]) for each in sorted(content["categories"], key=lambda each: each["id"])
        }
        paths = {int(each["id"]): folder / str(each["file_name"]) for each in content["images"]}
        things: dict[int, list[_Found]] = {number: [] for number in paths}
        for each in content["annotations"]:
            _add_coco_object(each, names, things)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise MinerError(f"The annotations {file} are damaged ({reason}).") from error
    known += [name for name in names.values() if name not in known]
    for number in sorted(paths):
        yield _existing(paths[number], file), [_checked(thing, file) for thing in things[number]]


def _add_coco_object(each: dict[str, Any], names: dict[int, str], things: dict[int, list[_Found]]) -> None:
    left, top, width, height = (float(side) for side in each["bbox"])
    image, category = int(each["image_id"]), int(each["category_id"])
    if image not in things or category not in names:
        raise ValueError(
            f"annotation {each.get('id')} names the image {image} and the category {category}; one is not listed"
        )
    found = _Found(names[category], (left, top, left + width, top + height), bool(each.get("iscrowd", 0)))
    things[image].append(found)


def _checked(thing: _Found, file: Path) -> _Found:
    left, top, right, bottom = thing.box
    if not np.isfinite(thing.box).all() or right < left or bottom < top:
        raise MinerError(f"{file} has a {thing.name} whose box ends before it begins: {[left, top, right, bottom]}.")
    return thing


def _existing(path: Path, file: Path) -> Path:
    if not path.is_file():
        raise MinerError(f"{file} names the photograph {path}, which is not there.")
    return path
