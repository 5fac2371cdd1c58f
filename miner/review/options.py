"""Options of `miner review`."""

from miner.options import Fraction, Options, option


class ReviewOptions(Options):
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
    port: int = option(8471, ge=0, le=65535, panel="server")
    """Port of the page. If the port is taken, the next free one is used."""
    host: str = option("127.0.0.1", panel="server")
    """Address to listen on. If other machines can reach the address, the page needs an access token, which the printed link
    contains."""
    token: str | None = option(None, min_length=16, exclude=True, panel="server")
    """Your own access token, so that a link stays valid after a restart. If not given: a new token, if the page needs one."""
    open: bool = option(False, panel="server")
    """Open the page in a browser of this machine."""
