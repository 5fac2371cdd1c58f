"""Options of `miner report`."""

from miner.options import Options, option


class ReportOptions(Options):
    """Write one HTML page about the workspace: pairs, graphs, refinement, training, accuracy.

    The page loads nothing from other places, so it can be sent to others.
    """

    gallery: int = option(60, ge=1, le=400)
    """Pairs to show, evenly spread over the band from the lowest to the highest similarity."""
    random: int = option(24, ge=0, le=400)
    """Further pairs to show, drawn at random from all pairs."""
