"""Options of `miner report`."""

from pydantic import Field

from miner.options import Options


class ReportOptions(Options):
    gallery: int = Field(
        60, ge=1, le=400, description="Pairs shown, evenly spread over the band from lowest to highest similarity."
    )
    random: int = Field(24, ge=0, le=400, description="Pairs shown besides, drawn at random from all.")
