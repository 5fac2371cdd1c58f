"""The manifest of `shards/`."""

from typing import ClassVar

from miner.artifacts.artifact import RecordPart, StageArtifact
from miner.artifacts.embeddings.manifest import EncoderRecord
from miner.artifacts.pairs.manifest import LabelStatistics, PairsManifest


class ExportRequest(RecordPart):
    """What `miner export` was asked for.

    Attributes:
        pairs: `PairsManifest.table_identity` of the pairs.
        pairs_only: whether image shards were left out.
    """

    pairs: str
    pairs_only: bool = False


class ShardSet(RecordPart):
    """Shards whose samples have the same fields, such as `images` or `pairs-jpg-png`."""

    fields: list[str]


class ShardsManifest(StageArtifact):
    """What is in `shards/`.

    Attributes:
        images, pairs: that were exported.
        left_out: how many pairs were left out, by reason.
        samples: by shard.
        sets: by name; None in records of old versions.
    """

    command: ClassVar = "miner export"
    folder: ClassVar = "shards"

    request: ExportRequest
    source: str
    classes: list[str] | None = None
    encoder: EncoderRecord
    images: int
    pairs: int
    images_in_pairs: int
    left_out: dict[str, int]
    labels: LabelStatistics | None
    samples: dict[str, int]
    sets: dict[str, ShardSet] | None = None

    @property
    def image_shards(self) -> list[str]:
        """Names of the shards that hold images."""
        return [name for name in self.files if name.startswith("images-") and name.endswith(".tar")]

    def was_made_of(self, pairs: PairsManifest) -> bool:
        """Whether the export read this very table of pairs."""
        return self.request.pairs == pairs.table_identity
