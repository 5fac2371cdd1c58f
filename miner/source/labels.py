"""From labels as data sets write them, numbers or names, to class indices."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

MAX_NAME_LENGTH = 100
# Numbers from here on are identifiers. An array with a place for each smaller number would be mostly empty.
MAX_CLASS_NUMBER = 1 << 16


class Dropped(NamedTuple):
    """No label: what stands in its place, in few words, or "" if nothing does."""

    reason: str


MISSING = Dropped("")
RawLabel = int | str | Dropped


class ClassIndices(NamedTuple):
    """The labels of a source.

    Attributes:
        indices: class index of each image, or None.
        classes: class names by index; None if the labels are plain class numbers.
        dropped: how many labels could not be used, by reason.
    """

    indices: list[int | None]
    classes: list[str] | None
    dropped: Counter[str]


def parse_label(value: Any) -> RawLabel:
    """A class number (from 0), a class name (one short line), or why there is no label.

    Whole floats and decimals are numbers, as pandas makes them; truth values are the names False and True; a list of one is
    its element. None, NaN, -1 and empty values mean that the image has no label.
    """
    while isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, bytes):
        return parse_label_text(value)
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        value = int(value)
    if value is None or value == -1 or value != value or value in ("", [], ()):
        return MISSING
    if isinstance(value, int):
        return value if value >= 0 else Dropped("negative number")
    if isinstance(value, str):
        name = value.strip()
        if not name:
            return MISSING
        return name if len(name) <= MAX_NAME_LENGTH and name.isprintable() else Dropped("long text")
    if isinstance(value, list | tuple):
        return Dropped("several labels")
    return Dropped("no whole number" if isinstance(value, float | Decimal) else f"value of type {type(value).__name__}")


def parse_label_text(content: bytes) -> RawLabel:
    """The label in a small text file: a number, a name, or either as JSON."""
    try:
        text = content.decode("utf-8-sig")
        return parse_label(json.loads(text))
    except UnicodeDecodeError:
        return Dropped("text not in UTF-8")
    except (ValueError, RecursionError):
        return parse_label(text)


def better_label(one: RawLabel, other: RawLabel) -> RawLabel:
    """The more useful of two labels of an image: a number, or else a name, or else a reason; `one` of two equal kinds."""
    return max((one, other), key=lambda label: (isinstance(label, int), isinstance(label, str), label != MISSING))


def index_labels(labels: Sequence[RawLabel], classes: list[str] | None) -> ClassIndices:
    """Class indices of all images of a source, and the class names.

    Class numbers stay as they are, and names get the numbers that `classes` states. If there are other names, or numbers of
    `MAX_CLASS_NUMBER` and above, all labels are names: they are numbered in sorted order, numbers first, after those of `classes`.

    Args:
        labels: the labels as found, one per image.
        classes: names by index, if the source states them.
    """
    dropped = Counter(label.reason for label in labels if isinstance(label, Dropped) and label.reason)
    known = {label for label in labels if not isinstance(label, Dropped)}
    names = list(classes or [])
    number: dict[RawLabel, int] = {name: index for index, name in enumerate(names)}
    number |= {label: label for label in known if isinstance(label, int) and label < MAX_CLASS_NUMBER}
    if known <= number.keys():
        return ClassIndices([number.get(label) for label in labels], classes, dropped)
    number = {**{index: index for index in range(len(names))}, **{name: index for index, name in enumerate(names)}}
    for label in sorted(known - number.keys(), key=lambda label: (isinstance(label, str), label)):
        if str(label) not in number:
            number[str(label)] = len(names)
            names.append(str(label))
        number[label] = number[str(label)]
    return ClassIndices([number.get(label) for label in labels], names, dropped)


def are_captions(names: Sequence[str]) -> bool:
    """Whether texts are too varied to be class names: a class has two images or more on average."""
    return len(set(names)) * 2 > len(names)
