"""Options of `miner report`."""

from pydantic import Field

from miner.options import Options


class ReportOptions(Options):
    gallery: int = Field(
        60,
        ge=1,
        le=400,
        description="Pairs to show, evenly spread over the band from the lowest to the highest similarity.",
    )
    random: int = Field(24, ge=0, le=400, description="Further pairs to show, drawn at random from all pairs.")
