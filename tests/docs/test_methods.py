"""The page of methods has a row for every method and every arm, and says how each method takes pairs."""

import re

from miner.train.settings.arms import PAIRS_ARMS
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs/methods.md").read_text("utf-8")


def section(heading: str) -> str:
    """The text from a heading to the next heading."""
    return re.split(r"^#+ ", PAGE.partition(f" {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> set[str]:
    """What the rows of its tables begin with."""
    return set(re.findall(r"^\| `(\w[^`]*)`", text, re.MULTILINE))


def test_every_method_has_a_row_of_defaults_and_a_short_run() -> None:
    assert rows(section("Methods")) == rows(section("Short runs")) == {*METHOD_DEFAULTS}


def test_every_arm_has_a_row() -> None:
    assert rows(section("Pairs and their controls")) | rows(section("Pairs alone")) == {*PAIRS_ARMS}


def test_every_method_with_partners_says_how_it_takes_them() -> None:
    text = section("Partners in one step")
    assert [name for name in METHOD_DEFAULTS if f"`{name}`" not in text] == []
