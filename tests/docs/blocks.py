"""The fenced code blocks of the pages, and the commands in them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "examples/README.md")),
    ROOT / "pipelines/recipes/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)

_MARKER = re.compile(r"<!-- not executed: (\S.*) -->")
_FENCE = re.compile(r"\s*(?P<marks>`{3,}|~{3,})\s*(?P<info>.*)")


@dataclass(frozen=True)
class Block:
    """A fenced code block.

    Attributes:
        place: page and line, for messages.
        language: after the fence; empty for shell commands.
        text: what is inside.
        excuse: why it is not executed; None without a marker.
    """

    place: str
    language: str
    text: str
    excuse: str | None


def blocks_of(text: str, page: str) -> list[Block]:
    """All fenced blocks of a page.

    A block is not executed if the line above it is `<!-- not executed: REASON -->`.
    """
    found = []
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        if fence := _FENCE.match(lines[number]):
            end = next(end for end in range(number + 1, len(lines)) if lines[end].strip() == fence["marks"])
            marker = _MARKER.fullmatch(lines[number - 1].strip()) if number else None
            inside = "\n".join(lines[number + 1 : end])
            found.append(Block(f"{page}:{number + 1}", fence["info"].strip(), inside, marker and marker[1]))
            number = end
        number += 1
    return found


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page.read_text(), str(page.relative_to(ROOT)))]


def commands_of(text: str) -> list[list[str]]:
    """The words of each command of a block, without comments.

    In a block with prompts (`$ `), the lines without one are output.
    """
    lines = text.replace("\\\n", " ").split("\n")
    prompted = [line[2:] for line in lines if line.startswith("$ ")]
    return [words for line in prompted or lines if (words := shlex.split(line, comments=True))]
