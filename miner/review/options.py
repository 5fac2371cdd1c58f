"""Options of `miner review`."""

from miner.options import Fraction, option
from miner.server.options import ServerOptions


class ReviewOptions(ServerOptions):
    """Show pairs to people, who judge them on a local page: same, different, unsure.

    A few hundred answers estimate the precision of all pairs, with an interval. `miner export --exclude` leaves out the pairs that
    reviewers called different.
    """

    panel = "basics"

    labels: int = option(200, ge=1)
    """Pairs that each reviewer is asked to judge. The page offers more at the end."""
    overlap: Fraction = option(0.2)
    """Share of the pairs that every reviewer judges, in the same order, to measure agreement. Each of the other pairs is judged
    by one person."""
    slices: int = option(10, ge=1, le=100)
    """Number of slices of equal width. Reviewers get pairs from each. The slices are of the votes of --agree, or of the score of
    the rule local or shared; else of the similarity."""
    seed: int = option(0, ge=0)
    """Seed of the order in which pairs are shown."""
    show_labels: bool = option(False)
    """Show class labels and similarity. Without this flag, reviewers see only the images."""
    summary: bool = option(False)
    """Print the summary of all decisions so far, without a server."""
