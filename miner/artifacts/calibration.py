"""`calibration.json`: a band proposed for these embeddings."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from miner.artifacts.artifact import StageArtifact
from miner.artifacts.pairs.band import BandRecord
from miner.artifacts.workspace import Workspace
from miner.engine import Record


class CalibrationRecord(StageArtifact):
    """What `miner calibrate` found.

    Attributes:
        band: that it proposes.
        images: that are embedded.
        estimated_pairs, estimated_pairs_above: in the band, and above it.
        labels: estimated precision of the band; None where images have no labels.
    """

    command: ClassVar = "miner calibrate"

    files: dict[str, Record] = Field(default_factory=dict)
    band: BandRecord
    images: int
    estimated_pairs: int
    estimated_pairs_above: int = 0
    labels: Record | None = None

    @classmethod
    def path(cls, workspace: Workspace) -> Path:
        return workspace.calibration
