"""The play that is disturbed, and the figures of all trials, printed at the end."""

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.torture.scenes import SCENES, SHORT
from tests.torture.trials import Bench

LONG = bool(os.environ.get("MINER_TORTURE"))


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("torture"), list(SCENES) if LONG else SHORT)


@pytest.fixture
def bench(played: Bench, record_property) -> Iterator[Bench]:
    """The play. What a test adds to its figures is reported with the test."""
    before = Counter(played.figures)
    yield played
    record_property("torture", {name: number - before[name] for name, number in played.figures.items()})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scene" in metafunc.fixturenames:
        metafunc.parametrize("scene", list(SCENES) if LONG else metafunc.function.short)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    figures: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for name, value in (pair for report in reports for pair in getattr(report, "user_properties", [])):
            if name == "torture":
                figures.update(value)
    if figures:
        terminalreporter.write_line("torture: " + ", ".join(f"{name} {number:,}" for name, number in figures.items()))
