"""Options of `miner review`."""

from pydantic import Field

from miner.options import Fraction, Options


class ReviewOptions(Options):
    panel = "basics"

    labels: int = Field(
        200, ge=1, description="Pairs that each reviewer is asked to judge. The page offers more at the end."
    )
    overlap: Fraction = Field(
        0.2,
        description="Share of the pairs that every reviewer judges, in the same order, to measure agreement. "
        "Each of the other pairs is judged by one person.",
    )
    slices: int = Field(
        10,
        ge=1,
        le=100,
        description="Number of slices of equal width that the band is cut into. Reviewers get pairs from each.",
    )
    seed: int = Field(0, ge=0, description="Seed of the order in which pairs are shown.")
    show_labels: bool = Field(
        False, description="Show class labels and similarity. Otherwise reviewers see only the images."
    )
    summary: bool = Field(False, description="Print the summary of all decisions so far, without a server.")
    port: int = Field(
        8471,
        ge=0,
        le=65535,
        description="Port of the page. If it is taken, the next free port is used.",
        json_schema_extra={"panel": "server"},
    )
    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. If other machines can reach it, the page needs an access token, which the "
        "printed link contains.",
        json_schema_extra={"panel": "server"},
    )
    token: str | None = Field(
        None,
        min_length=16,
        exclude=True,
        description="Your own access token, so that a link stays valid after a restart. By default a new one is made when needed.",
        json_schema_extra={"panel": "server"},
    )
    open: bool = Field(
        False, description="Open the page in a browser of this machine.", json_schema_extra={"panel": "server"}
    )
