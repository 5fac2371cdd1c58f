"""Options of `miner review`."""

from typing import Annotated

from pydantic import AfterValidator

from miner.options import Fraction, option
from miner.server.options import ServerOptions

_LONGEST_QUESTION = 200


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    if not 0 < len(line) <= _LONGEST_QUESTION or not line.isprintable():
        raise ValueError(f"a question has 1 to {_LONGEST_QUESTION} printable characters")
    return line


Question = Annotated[str, AfterValidator(_one_line)]


class ReviewOptions(ServerOptions):
    """Show pairs to people, who judge them on a local page: same, near-duplicate, different, unsure.

    A few hundred answers estimate the precision of all pairs, with an interval, and say which limit would raise it. A second
    person opens the same link and gives another name; both get some pairs in common, on which their agreement is measured.
    `miner export --exclude` leaves out the pairs that reviewers called different or near-duplicate.
    """

    panel = "basics"

    labels: int = option(200, ge=1)
    """Pairs that each reviewer is asked to judge. The page offers more at the end."""
    overlap: Fraction = option(0.2)
    """Share of the pairs that every reviewer judges, in the same order, to measure agreement. Each of the other pairs is judged
    by one person."""
    question: Question | None = option(None, shown_default="that of the answers so far, or whether both show the same")
    """The question above each pair, such as "Same model of shoe?". A review has one question; its answers keep it."""
    slices: int = option(10, ge=1, le=100)
    """Number of slices of equal width. Reviewers get pairs from each. The slices are of the votes of --agree, or of the score of
    the rule local or shared; else of the similarity."""
    seed: int = option(0, ge=0)
    """Seed of the order in which pairs are shown."""
    show_labels: bool = option(False)
    """Show class labels and similarity. Without this flag, reviewers see only the images."""
    summary: bool = option(False)
    """Print the summary of all decisions so far, without a server."""
