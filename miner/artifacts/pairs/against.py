"""The record of `against/NAME/`: pairs between the images of a workspace and those of another set."""

from typing import ClassVar

from miner.artifacts.artifact import Artifact, RecordPart
from miner.artifacts.pairs.band import BandRecord

MATCHES = "matches.parquet"


class AgainstRequest(RecordPart):
    """What `miner pairs --against` was asked for.

    Attributes:
        embeddings, against: the identities of the two sets of vectors.
        neighbors: the nearest images of the other set that each image has; None for all images of the band.
    """

    embeddings: str
    against: str
    band: BandRecord
    neighbors: int | None = None

    @property
    def condition(self) -> str:
        """What makes two images a pair, in words."""
        cosine = f"cosine in [{self.band.low:g}, {self.band.high:g}]"
        if self.neighbors is None:
            return cosine
        limited = (self.band.low, self.band.high) != (-1, 1)
        return f"the {self.neighbors} nearest there of each image here" + (f", {cosine}" if limited else "")


class ComparedSet(RecordPart):
    """One of the two sets: the name of its workspace or file, and how many of its images are in a pair."""

    name: str
    images: int
    images_in_pairs: int


class AgainstManifest(Artifact):
    """What is in `against/NAME/`.

    Attributes:
        here, there: the images of the workspace, which are a of each pair; those of the other set, which are b.
    """

    command: ClassVar = "miner pairs --against OTHER"

    request: AgainstRequest
    here: ComparedSet
    there: ComparedSet
    pairs: int
