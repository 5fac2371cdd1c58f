"""Progress on a terminal and in a log: the rate of this run, the time left, and that of the whole work."""

import io
import sys

import pytest

from miner.engine import progress
from miner.engine.progress import Progress, part_of_whole, time_in_words


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_time_left_follows_from_the_mean_rate(terminal: bool, monkeypatch) -> None:
    clock, said = Clock(monkeypatch), Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setenv("COLUMNS", "200")
    with part_of_whole("2/4 pairs", lambda rate: 100 / rate), Progress("rows", 500, "images", 100) as bar:
        clock.now += 40
        bar.advance(100, "step 3 of 9")
        if bar._bar:
            bar._bar.refresh()
    assert "2/4 pairs, rows" in said.getvalue()
    assert "2.5 images/s, step 3 of 9, 2 min left (3 min for all)" in said.getvalue()


def test_a_bar_without_a_whole_tells_its_own_time_alone(monkeypatch, capsys) -> None:
    clock = Clock(monkeypatch)
    with Progress("train", 256, "items") as bar:
        clock.now += 16
        bar.advance(160)
    assert capsys.readouterr().err == "train: 160 of 256 items, 10 items/s, 10 s left\n"
    assert [progress._named("1/4 embed", title) for title in ("embed", "bed")] == ["1/4 embed", "1/4 embed, bed"]
    assert [time_in_words(seconds) for seconds in (7.4, 119, 600, 9000)] == ["7 s", "119 s", "10 min", "2.5 h"]
