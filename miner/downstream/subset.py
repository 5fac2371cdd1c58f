"""The few labelled images of a fine-tuning: nested balanced subsets by key, or a list."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from miner.errors import MinerError, UsageError
from miner.source import Entry


def balanced_subset(entries: Sequence[Entry], share: float, seed: int) -> list[Entry]:
    """The same number of images of each class, at least one; all of a class that has fewer.

    Args:
        entries: labelled images; the result keeps their order.
        share: of all images together. A smaller share gives a part of the images of a larger one.
        seed: of the order of the keys in each class.
    """
    classes = defaultdict(list)
    for entry in entries:
        classes[entry.label].append(entry)
    most = max(1, round(share * len(entries) / len(classes)))
    chosen = {entry.key for some in classes.values() for entry in in_key_order(some, f"finetune {seed}")[:most]}
    return [entry for entry in entries if entry.key in chosen]


def held_out_part(entries: Sequence[Entry]) -> list[bool]:
    """The fifth of the images on which settings are chosen, by key; at least one image."""
    first = {entry.key for entry in in_key_order(entries, "validation")[: max(1, len(entries) // 5)]}
    return [entry.key in first for entry in entries]


def in_key_order(entries: Sequence[Entry], purpose: str) -> list[Entry]:
    """Images by the sha256 of a purpose and their key."""
    return sorted(entries, key=lambda entry: hashlib.sha256(f"{purpose} {entry.key}".encode()).digest())


def listed_subset(entries: Sequence[Entry], file: Path) -> list[Entry]:
    """The images that a list names by key, path or file name; the result keeps their order.

    Raises:
        UsageError: the file cannot be read.
        MinerError: a line names no image, or several.
    """
    try:
        names = [line.strip() for line in file.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--labels {file} cannot be read as lines of text: {error}.") from error
    rows = defaultdict(set)
    for row, entry in enumerate(entries):
        for name in (entry.key, entry.path, entry.path.rpartition("/")[2]):
            rows[name].add(row)
    chosen = set()
    for name in names:
        if len(rows[name]) != 1:
            raise MinerError(
                f"{file} names {name!r}, which is {'no' if not rows[name] else 'more than one'} labelled image of the gallery. "
                "Name each image by its key, its path or its file name."
            )
        chosen |= rows[name]
    return [entries[row] for row in sorted(chosen)]
