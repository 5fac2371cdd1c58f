"""The manifest of a data set repository."""

from typing import ClassVar

from miner.artifacts.artifact import RecordPart, StageArtifact


class ConfigSize(RecordPart):
    """Size of a configuration of the data set."""

    rows: int
    bytes: int


class PublishedManifest(StageArtifact):
    """What is in `publish/`, or in the folder that `miner publish --to` names.

    Attributes:
        configs: by name, as `load_dataset` takes it.
    """

    command: ClassVar = "miner publish"
    folder: ClassVar = "published"

    title: str
    configs: dict[str, ConfigSize]
