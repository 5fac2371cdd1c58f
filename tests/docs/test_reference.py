"""The reference is what the docstrings say now, and they say everything about every public name."""

import inspect
import runpy
from typing import Any

import pytest

import miner
from tests.docs.blocks import ROOT

SCRIPT = runpy.run_path(str(ROOT / "scripts/make_reference.py"))
CLASSES = [name for name in miner.__all__ if inspect.isclass(SCRIPT["public"](name))]
MEMBERS = {f"{name}.{title}": member for name in CLASSES for title, member in SCRIPT["members"](SCRIPT["public"](name))}


def arguments_of(member: Any) -> set[str]:
    return {*inspect.signature(member).parameters} - {"self"}


def test_page_is_what_the_docstrings_say_now() -> None:
    assert SCRIPT["PAGE"].read_text("utf-8") == SCRIPT["page"](), "run python scripts/make_reference.py"


@pytest.mark.parametrize("name", miner.__all__)
def test_public_name_has_example_errors_and_arguments(name: str) -> None:
    thing = SCRIPT["public"](name)
    text = inspect.getdoc(thing) or ""
    assert ">>> " in text, "no example"
    if name not in CLASSES:
        assert "\nRaises:\n    " in text and "\nReturns:\n    " in text + "\nReturns:\n    " * (
            name in ("open", "similar")
        )
        assert inspect.getdoc(getattr(miner, name)) == text, "help() shows another text"
    if name in ("band_join", "nearest", "open", "similar", "leaks"):
        listed = text.partition("\nArgs:\n")[2]
        assert all(f" {argument}" in listed for argument in arguments_of(thing))


@pytest.mark.parametrize("name", MEMBERS)
def test_public_member_has_a_docstring(name: str) -> None:
    assert len((inspect.getdoc(MEMBERS[name]) or "").split()) > 3
