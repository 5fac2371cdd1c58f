"""Waiting for a page: its own policy forbids playwright to wait inside it."""

from typing import Any


def until(page: Any, expression: str) -> None:
    """Wait for something to be true."""
    for _ in range(4000):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(15)
    raise AssertionError(f"never true: {expression}")
