"""Options of `miner review`."""

from pydantic import Field

from miner.options import Fraction, Options


class ReviewOptions(Options):
    labels: int = Field(200, ge=1, description="Pairs that each reviewer is asked to judge; more are shown on request.")
    overlap: Fraction = Field(
        0.2,
        description="Share of these that every reviewer gets, in the same order: agreement is measured on them. "
        "The other pairs are judged by one person each.",
    )
    slices: int = Field(
        10, ge=1, le=100, description="Slices of equal width that the band is cut into; labels are drawn from each."
    )
    seed: int = Field(0, ge=0, description="Seed of the order in which pairs are shown.")
    show_labels: bool = Field(
        False, description="Show class labels and similarity to reviewers, who otherwise judge the images alone."
    )
    summary: bool = Field(False, description="Print what the decisions so far say, without starting a server.")
    port: int = Field(8471, ge=0, le=65535, description="Port of the page; the next free one if it is taken.")
    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. Any that other machines can reach needs an access token, which is printed "
        "as part of the link.",
    )
    token: str | None = Field(
        None,
        min_length=16,
        exclude=True,
        description="Your own access token, so that links outlive a restart. Without it one is made up when it is needed.",
    )
    open: bool = Field(False, description="Open the page in the browser of this machine.")
