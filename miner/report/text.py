"""Rates, shares and names as text."""

from pathlib import PurePath

from miner.text import count


def short_count(number: float) -> str:
    """12000 -> 12k, for the ticks of an axis."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def rate(number: float) -> str:
    """0.0621 -> 0.062, 6.2 -> 6.2, 1234 -> 1,234."""
    return f"{number:.2g}" if number < 10 else count(number)


def percent(share: float) -> str:
    """0.9412 -> 94.1%."""
    return f"{share:.1%}"


def source_name(spec: str) -> str:
    """The last part of a path or URL; a built-in name as it is."""
    return PurePath(spec.rstrip("/")).name or spec
