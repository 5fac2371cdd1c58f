"""Numbers with their nouns."""


def count(number: float) -> str:
    """1234 -> 1,234."""
    return f"{number:,.0f}"


def counted(number: float, singular: str, plural: str | None = None) -> str:
    """(1, "pair") -> 1 pair; (2, "pair") -> 2 pairs; (0, "class") -> 0 classes."""
    several = plural or singular + ("es" if singular.endswith("s") else "s")
    return f"{count(number)} {singular if number == 1 else several}"
