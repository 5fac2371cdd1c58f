"""Small sets of real photographs, pasted on noisy backgrounds, with their boxes: in the format of VOC or of COCO."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from miner.images.decode import decode_image
from miner.source import Source

Placed = tuple[str, tuple[int, int, int, int]]
_MOST_OVERLAP = 0.1
# What else a file of VOC 2007 or 2012 holds: an owner with a name, parts of people with boxes, actions.
_HEAD = (
    "<folder>VOC2007</folder><filename>{0}.jpg</filename><source><database>The VOC2007 Database</database><annotation>PASCAL "
    "VOC2007</annotation><image>flickr</image><flickrid>1</flickrid></source><owner><flickrid>?</flickrid><name>?</name></owner>"
    "<size><width>{1}</width><height>{1}</height><depth>3</depth></size><segmented>0</segmented>"
)
_PART = (
    "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2.5</xmax><ymax>2.5</ymax></bndbox></part>"
    "<actions><jumping>0</jumping></actions>"
)


def photographs_of(source: Source, labels: Mapping[str, int], rows: slice) -> dict[str, list[Image.Image]]:
    """Photographs with some labels of a source: these rows of each label."""
    chosen = {name: [entry for entry in source.entries if entry.label == label][rows] for name, label in labels.items()}
    return {name: [decode_image(source.read(entry)) for entry in entries] for name, entries in chosen.items()}


def write_made_set(
    folder: Path,
    part: str,
    photographs: Mapping[str, Sequence[Image.Image]],
    images: int,
    side: int,
    *,
    coco: bool = False,
) -> str:
    """Write `images` squares with one to three photographs each, whose long sides are 0.3 to 0.6 of `side`.

    The part's name is the seed. Returns FOLDER:PART.
    """
    random = Random(part)
    scenes = [_scene(random, photographs, side) for _ in range(images)]
    (_write_coco if coco else _write_voc)(folder, part, [*photographs], scenes)
    return f"{folder}:{part}"


def _scene(
    random: Random, photographs: Mapping[str, Sequence[Image.Image]], side: int
) -> tuple[Image.Image, list[Placed]]:
    noise = np.random.default_rng(random.getrandbits(32)).integers(0, 256, (8, 8, 3), np.uint8)
    scene = Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1))
    placed: list[Placed] = []
    for _ in range(random.randint(1, 3)):
        name = random.choice([*photographs])
        photograph = random.choice(photographs[name]).copy()
        longest = int(side * random.uniform(0.3, 0.6))
        scale = longest / max(photograph.size)
        photograph = photograph.resize(tuple(max(1, round(scale * each)) for each in photograph.size))
        left, top = (random.randint(0, side - each) for each in photograph.size)
        box = (left, top, left + photograph.width, top + photograph.height)
        if all(_overlap(box, other) <= _MOST_OVERLAP for _, other in placed):
            scene.paste(photograph, (left, top))
            placed.append((name, box))
    return scene, placed


def _overlap(box: Sequence[int], other: Sequence[int]) -> float:
    """The shared part of the smaller box."""
    width, height = (min(box[2 + axis], other[2 + axis]) - max(box[axis], other[axis]) for axis in (0, 1))
    smaller = min((each[2] - each[0]) * (each[3] - each[1]) for each in (box, other))
    return max(width, 0) * max(height, 0) / smaller


def _write_voc(folder: Path, part: str, names: list[str], scenes: list[tuple[Image.Image, list[Placed]]]) -> None:
    for below in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (folder / below).mkdir(parents=True, exist_ok=True)
    for number, (scene, placed) in enumerate(scenes):
        scene.save(folder / "JPEGImages" / f"{part}{number:04}.jpg", quality=92)
        objects = "".join(
            f"<object><name>{name}</name><pose>Frontal</pose><truncated>0</truncated><difficult>0</difficult><bndbox>"
            f"<xmin>{box[0] + 1}</xmin><ymin>{box[1] + 1}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox>"
            f"{_PART}</object>"
            for name, box in placed
        )
        (folder / "Annotations" / f"{part}{number:04}.xml").write_text(
            f"<annotation>{_HEAD.format(f'{part}{number:04}', scene.width)}{objects}</annotation>"
        )
    listed = "".join(f"{part}{number:04}\n" for number in range(len(scenes)))
    (folder / "ImageSets/Main" / f"{part}.txt").write_text(listed)


def _write_coco(folder: Path, part: str, names: list[str], scenes: list[tuple[Image.Image, list[Placed]]]) -> None:
    for below in ("annotations", part):
        (folder / below).mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number, (scene, placed) in enumerate(scenes):
        one = {"id": number, "file_name": f"{number:04}.jpg", "width": scene.width, "height": scene.height}
        images.append({**one, "license": 4, "coco_url": "", "flickr_url": "", "date_captured": "2013-11-14 17:02:52"})
        scene.save(folder / part / f"{number:04}.jpg", quality=92)
        for name, (left, top, right, bottom) in placed:
            box = [left, top, right - left, bottom - top]
            one = {"id": len(annotations), "image_id": number, "category_id": 10 + names.index(name), "bbox": box}
            outline = [[left, top, right, top, right, bottom]]
            annotations.append({**one, "area": box[2] * box[3], "iscrowd": 0, "segmentation": outline})
    categories = [{"supercategory": "thing", "id": 10 + number, "name": name} for number, name in enumerate(names)]
    content = {"info": {"year": 2017}, "licenses": [{"id": 4}], "images": images, "annotations": annotations}
    content["categories"] = categories
    (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(content))
