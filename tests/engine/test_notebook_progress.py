"""Progress in a notebook: one output below the cell, which is replaced, and empty at the end."""

import sys
from types import SimpleNamespace

import pytest

from miner.engine import progress
from miner.engine.progress import Progress


class Cell:
    """Keeps what IPython would show."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def display(self, data: dict[str, str], raw: bool, display_id: bool) -> "Cell":
        assert raw and display_id and not self.shown
        self.shown.append(data)
        return self

    def update(self, data: dict[str, str], raw: bool) -> None:
        self.shown.append(data)


@pytest.mark.parametrize("kernel", [True, False])
def test_progress_shows_below_the_cell_of_a_kernel(kernel: bool, monkeypatch, capsys) -> None:
    cell = Cell()
    shell = SimpleNamespace(kernel=object() if kernel else None)
    ipython = SimpleNamespace(get_ipython=lambda: shell, display=SimpleNamespace(display=cell.display))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(progress, "_NOTEBOOK_INTERVAL_S", 0)
    with Progress("embed <b>", total=4, item="images") as bar:
        bar.advance(1)
        bar.advance(2)
    bars = [each["text/html"].partition(">")[0] for each in cell.shown]
    assert bars == (['<progress value="1" max="4"', '<progress value="3" max="4"', ""] if kernel else [])
    assert "<b>" not in "".join(each["text/html"] for each in cell.shown)
    assert capsys.readouterr().err == ""
