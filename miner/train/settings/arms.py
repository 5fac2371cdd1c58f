"""Arms: what a run trains on besides own views, by name."""

from dataclasses import dataclass
from typing import Self

PAIRS_ARMS = {
    "none": "own views only, for --epochs passes",
    "semantic": "the mined pairs",
    "random-added": "instead of each mined pair, a random image with itself",
    "anchor-oversample": "instead of each mined pair, its anchor with itself",
    "equal-steps": "own views only, for more passes",
    "partner-shuffle": "the images of the mined pairs, each equally often, with partners exchanged at random",
    "random-wrong": "instead of each mined pair, two random images",
    "mask-only": "own views only, for more passes; images of a mined pair are no negatives of each other",
    "pairs-only": "the mined pairs alone, without own views, in the steps of semantic",
    "matched-augmented": "as pairs-only, but one image of each pair with itself: as many pairs, half of the images",
    "matched-images": "as pairs-only, but both images of each pair with themselves: the same images, twice the pairs",
    "matched-half": "as pairs-only, but in half of the pairs one image with itself",
    "oracle": "each anchor with a random image of its class, an upper bound (uses labels)",
    "precision=P": "as oracle in the share P of the pairs, with an image of another class in the rest (uses labels)",
    "within=P": "as precision=P, with partners among the images of the mined pairs (uses labels)",
}
_BY_LABEL = ("precision=", "within=")
_ALONE = ("pairs-only", "matched-augmented", "matched-images", "matched-half")


@dataclass(frozen=True)
class PairsArm:
    """One arm.

    Attributes:
        name: the name as given, with the share of `precision=P` in its shortest form.
        precision: share of pairs to draw within a class; None for arms that use no labels.
        within: whether partners are images of the mined pairs, and not of the whole data set.
    """

    name: str
    precision: float | None = None
    within: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """An arm by its name.

        Raises:
            ValueError: there is no such arm, or the share is not within 0 and 1.
        """
        if text == "oracle":
            return cls(text, 1.0)
        if text in PAIRS_ARMS and not text.startswith(_BY_LABEL):
            return cls(text)
        kind, _, number = text.partition("=")
        try:
            share = float(number) if f"{kind}=" in _BY_LABEL else -1.0
        except ValueError:
            share = -1.0
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"choose one of {', '.join(PAIRS_ARMS)} with P from 0 to 1")
        return cls(f"{kind}={share:g}", share, kind == "within")

    @property
    def reads_pairs(self) -> bool:
        """Whether the arm needs pairs, or at least their number."""
        return self.name != "none"

    @property
    def alone(self) -> bool:
        """Whether the pairs are the only items: images have no own-view items beside them."""
        return self.name in _ALONE

    @property
    def uses_labels(self) -> bool:
        return self.precision is not None

    @property
    def meaning(self) -> str:
        """What the arm trains on."""
        kind, share, _ = self.name.partition("=")
        return PAIRS_ARMS[f"{kind}{share and '=P'}"]
