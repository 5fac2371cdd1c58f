"""From labels as data sets write them, numbers or names, to class indices."""

import json
from collections.abc import Sequence
from typing import Any

MAX_NAME_LENGTH = 100

RawLabel = int | str | None


def parse_label(value: Any) -> RawLabel:
    """A class index (an integer from 0), a class name (one short line), or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if value >= 0 else None
    if isinstance(value, str):
        name = value.strip()
        return name if 0 < len(name) <= MAX_NAME_LENGTH and name.isprintable() else None
    return None


def parse_label_text(content: bytes) -> RawLabel:
    """The label in a small text file: a number, a name, or either as JSON."""
    try:
        text = content.decode("utf-8-sig")
        return parse_label(json.loads(text))
    except UnicodeDecodeError:
        return None
    except (ValueError, RecursionError):
        return parse_label(text)


def index_labels(labels: Sequence[RawLabel], classes: list[str] | None) -> tuple[list[int | None], list[str] | None]:
    """Class indices of all images of a source, and the class names.

    Names are numbered in sorted order, unless `classes` numbers them already. Where a source has both numbers and names, and
    nothing says which number has which name, the numbers count.

    Args:
        labels: as found, one per image.
        classes: names by index, if the source states them.
    """
    if classes is None and not any(isinstance(label, int) for label in labels):
        classes = sorted({label for label in labels if isinstance(label, str)}) or None
    number = {name: index for index, name in enumerate(classes or [])}
    return [number.get(label) if isinstance(label, str) else label for label in labels], classes


def are_captions(names: Sequence[str]) -> bool:
    """Whether texts are too varied to be class names: a class has two images or more on average."""
    return len(set(names)) * 2 > len(names)
