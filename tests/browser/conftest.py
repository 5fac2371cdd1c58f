"""A real browser for every page that miner makes."""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.report.conftest import add_run, graphs, make_workspace
from tests.review.conftest import mined, start_review, workspace

__all__ = ["add_run", "graphs", "make_workspace", "mined", "start_review", "workspace"]

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_HOW_TO_GET_ONE = (
    "no Chromium in PATH: install the package chromium of your system, or run `playwright install chromium` and set CHROMIUM "
    "to the path of that"
)


@pytest.fixture(scope="session")
def browser() -> Iterator["playwright.Browser"]:  # noqa: F821  imported only if it is there
    """Headless Chromium; tests that ask for it are skipped where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    if CHROMIUM is None:
        pytest.skip(_HOW_TO_GET_ONE)
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()
