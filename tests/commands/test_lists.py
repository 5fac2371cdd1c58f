"""Options that are lists: several items after one flag, or a flag for each item."""

import pytest
from typer.testing import CliRunner

from miner.commands import app as module
from miner.engine import Result
from miner.options import Names, Options, option


class ListOptions(Options):
    """A command with lists."""

    panel = "basics"

    differ: Names = option([], metavar="COLUMN...")
    """Columns."""
    same: Names = option([])
    """More columns."""
    mutual: bool = option(False, short="-m")
    """A switch."""


@pytest.fixture
def parsed(monkeypatch):
    """Runs the command with these flags: its options, or what it says."""
    found = []
    app = module.typer.Typer()
    monkeypatch.setattr(module, "app", app)
    module.add_command("lists", ListOptions, lambda options, _: found.append(options) or Result("lists", {}, []))

    def run(*flags: str) -> ListOptions | str:
        answer = CliRunner().invoke(app, flags)
        return found.pop() if answer.exit_code == 0 else answer.output

    return run


@pytest.mark.parametrize(
    ("flags", "differ", "same"),
    [
        ("", [], []),
        ("--differ a", ["a"], []),
        ("--differ a b -m --same c d", ["a", "b"], ["c", "d"]),
        ("--differ a --differ=b --same c --differ d", ["a", "b", "d"], ["c"]),
    ],
)
def test_items_of_a_list(parsed, flags: str, differ: list[str], same: list[str]) -> None:
    options = parsed(*flags.split())
    assert (options.differ, options.same, options.mutual) == (differ, same, "-m" in flags)


@pytest.mark.parametrize("flags", ["--differ", "a", "-m a", "--differ a -m b"])
def test_items_without_a_list_are_refused(parsed, flags: str) -> None:
    assert isinstance(parsed(*flags.split()), str)


def test_one_text_is_a_list_of_one() -> None:
    assert ListOptions.parse({"differ": "a", "same": ["b"]}).request() == {
        "differ": ["a"],
        "same": ["b"],
        "mutual": False,
    }
