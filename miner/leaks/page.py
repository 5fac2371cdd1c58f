"""The page of leaks: groups of images side by side, from the surest kind to the least sure one."""

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from miner.artifacts.embeddings.vectors import Rows
from miner.engine import Record
from miner.errors import MinerError
from miner.leaks.matches import AllImages, Matches
from miner.leaks.options import KINDS
from miner.leaks.pictures import Pictures
from miner.leaks.tables import IN_WORDS
from miner.report.galleries.thumbnails import QUALITIES, make_thumbnails
from miner.report.page import templates

_GROUPS_SHOWN = 60  # of each kind
_IMAGES_SHOWN = 8  # of a group
_THUMBNAIL_BYTES = 6_000_000
_MARGIN = (236, 234, 229)


def leaks_page(images: AllImages, pictures: Pictures, matches: Matches, groups: Rows, facts: Record) -> str:
    """The page as HTML. Equal leaks and images give equal text.

    Args:
        groups: the group of each match, from 1.
        facts: further variables of the template.
    """
    order = np.lexsort((-matches["similarity"], matches["kind"], groups))
    starts = np.flatnonzero(np.diff(groups[order], prepend=0))
    members = np.split(order, starts[1:]) if len(order) else []
    kinds = [int(matches["kind"][pairs[0]]) for pairs in members]  # of a group: that of its surest pair
    shown = [
        pairs
        for number in range(len(KINDS))
        for pairs in [pairs for pairs, kind in zip(members, kinds, strict=True) if kind == number][:_GROUPS_SHOWN]
    ]
    rows = [_rows(matches[pairs]) for pairs in shown]
    uses = [row for each in rows for row in each]
    squares = {}
    for row in sorted({*uses}):
        # An image without a vector may be no image: then its card says so.
        with nullcontext() if images.vector[row] >= 0 else suppress(MinerError):
            squares[row] = _square(pictures.image(row))
    thumbnails = make_thumbnails(squares, uses, _THUMBNAIL_BYTES, QUALITIES[2:])
    table, last = images.table, len(images.sets) - 1
    removed = set(matches["a"].tolist())

    def card(row: int) -> Record:
        number = int(images.number[row])
        names = {name: table[name][row].as_py() for name in ("path", "label")}
        goes = number < last and row in removed
        return {"thumbnail": thumbnails.get(row), "set": images.sets[number].name, "goes": goes, **names}

    def group(pairs: Rows, each: list[int]) -> Record:
        return {
            "number": int(groups[pairs[0]]),
            "images": [card(row) for row in each],
            "more": len({*matches["a"][pairs].tolist(), *matches["b"][pairs].tolist()}) - len(each),
            "reasons": _reasons(matches[pairs[0]]),
        }

    sections = [
        {
            "kind": kind,
            "in_words": IN_WORDS[kind],
            "groups": kinds.count(number),
            "shown": [
                group(pairs, each)
                for pairs, each in zip(shown, rows, strict=True)
                if matches["kind"][pairs[0]] == number
            ],
        }
        for number, kind in enumerate(KINDS)
    ]
    page = templates(Path(__file__).parent / "templates").get_template("leaks.html")
    return page.render(sections=[section for section in sections if section["groups"]], **facts)


def _rows(pairs: Matches) -> list[int]:
    """The images of a group, those of the surest pairs first; then set by set."""
    ends = np.stack([pairs["a"], pairs["b"]], 1).ravel().tolist()
    return sorted([*dict.fromkeys(ends)][:_IMAGES_SHOWN])


def _square(image: Image.Image) -> Image.Image:
    """The whole image on a square."""
    side = min(max(image.size), QUALITIES[1].side)
    return ImageOps.pad(image, (side, side), Image.Resampling.LANCZOS, _MARGIN)


def _reasons(match: Any) -> str:
    """Why the images of a pair belong together."""
    found = []
    if np.isfinite(match["similarity"]):
        found.append(f"cosine {match['similarity']:.3f}")
    if KINDS[match["kind"]] == "near":
        mirrored, turns = divmod(int(match["orientation"]), 4)
        found += ["mirrored"] * mirrored + [f"turned by {90 * turns}°"] * (turns > 0)
        found.append(f"{min(match['share'], 1.0):.0%} of the area, correlation {match['correlation']:.2f}")
    return ", ".join(found)
