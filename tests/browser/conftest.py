"""A real browser for every page that miner makes."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.report.conftest import add_run, graphs, make_workspace
from tests.review.conftest import mined, start_review, workspace
from tests.review.running import Server

__all__ = ["add_run", "graphs", "make_workspace", "mined", "start_review", "workspace"]

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_HOW_TO_GET_ONE = (
    "no Chromium in PATH: install the package chromium of your system, or run `playwright install chromium` and set CHROMIUM "
    "to the path of that"
)


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:  # noqa: F821  imported only if it is there
    """Headless Chromium; tests that ask for it are skipped where there is none.

    It ends with its module: as long as it is there, no other test of the process can start an event loop.
    """
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    if CHROMIUM is None:
        pytest.skip(_HOW_TO_GET_ONE)
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser) -> Iterator[Callable[..., Any]]:
    """Opens a page as a person of their own; the page may not complain or ask anybody but its server."""
    complaints: list[str] = []
    contexts = []

    def visit(server: Server, url: str | None = None, **more: object) -> Any:
        context = browser.new_context(**more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None
        )
        own = (server.base, "data:")
        page.on("request", lambda asked: None if asked.url.startswith(own) else complaints.append(asked.url))
        page.goto(url or server.url)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []
