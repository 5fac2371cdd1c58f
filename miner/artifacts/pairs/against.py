"""The record of `against/NAME/`: pairs between the images of a workspace and those of another set."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from miner.artifacts.artifact import Artifact, RecordPart
from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.pairs.band import BandRecord
from miner.artifacts.parquet import load_table
from miner.errors import MinerError

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

    @classmethod
    def read(cls, folder: Path) -> "AgainstManifest":
        """The record in a folder `against/NAME`.

        Raises:
            MinerError: it is missing or damaged.
        """
        found = cls.at(folder / "manifest.json")
        if found is None:
            raise MinerError(f"{folder} holds no finished pairs with another set. Run `{cls.command}` first.")
        return found

    def rows_in_pairs(self, folder: Path, embeddings: Artifact) -> Rows:
        """The rows of these embeddings that are in a pair, whichever of the two sets they are; ascending, int64 (n,).

        Raises:
            MinerError: they are neither set, or the table is damaged.
        """
        sides = {self.request.against: "b", self.request.embeddings: "a"}
        if embeddings.identity not in sides:
            raise MinerError(
                f"{folder} holds pairs of {self.here.name} and {self.there.name}, and neither has the embeddings of this "
                f"workspace. Run `{self.command}` again with them."
            )
        side = sides[embeddings.identity]
        return np.unique(load_table(self.checked(folder, MATCHES), [side])[side].to_numpy())
