"""The manifest of `leaks/`, and the images of all its sets as one source."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from miner.artifacts.artifact import RecordPart, StageArtifact
from miner.artifacts.embeddings.manifest import SourceRecord
from miner.artifacts.workspace import Workspace
from miner.source import Entry, Source
from miner.source.base import LeftOut

LEAKS_TABLE = "leaks.parquet"


class LeakSet(RecordPart):
    """One of the sets.

    Attributes:
        name: as the user typed it.
        source: of its images.
        images: number of images, without those whose bytes cannot be read.
        without_vector: images among them that could not be decoded: only their bytes are compared.
        unreadable: files that could not be read at all.
        remove: images that a later set holds.
    """

    name: str
    source: SourceRecord
    images: int
    without_vector: int
    unreadable: int
    remove: int


class LeaksManifest(StageArtifact):
    """What is in `leaks/`.

    Attributes:
        kinds: number of pairs by kind, the surest kind first.
        groups: number of groups: images that pairs connect.
        encoder, ceiling: of the vectors, and the cosine above which two images show the same scene; None where only bytes count.
    """

    command: ClassVar = "miner leaks TRAIN TEST"
    folder: ClassVar = "leaks"

    sets: list[LeakSet]
    encoder: str | None = None
    ceiling: float | None = None
    pairs: int
    kinds: dict[str, int]
    groups: int
    sentence: str

    @classmethod
    def path(cls, workspace: Workspace) -> Path:
        return workspace.root / cls.folder / "manifest.json"


@dataclass(frozen=True)
class SeveralSets:
    """The images of several sets as one source. The number of its set, from 1, stands before the key of an image."""

    sets: Sequence[SourceRecord]

    @property
    def spec(self) -> str:
        return ", ".join(record.spec for record in self.sets)

    def require_images(self) -> None:
        """Refuse a set of vectors without images.

        Raises:
            MinerError: there is one.
        """
        for record in self.sets:
            record.require_images()

    def open(self) -> Source:
        """Open all sets again.

        Raises:
            MinerError: one of them is gone, or cannot be read.
        """
        return _Together([record.open() for record in self.sets])


class _Together:
    """Sources behind each other."""

    classes: list[str] | None = None

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self.spec, self.left_out = ", ".join(source.spec for source in sources), LeftOut()

    @cached_property
    def entries(self) -> Sequence[Entry]:
        return [
            replace(entry, key=set_key(number, entry.key), locator=(source, entry))
            for number, source in enumerate(self._sources, 1)
            for entry in source.entries
        ]

    def read(self, entry: Entry) -> bytes:
        source, own = entry.locator
        data: bytes = source.read(own)
        return data


def set_key(number: int, key: str) -> str:
    """The key of an image among several sets; sets are numbered from 1."""
    return f"{number}-{key}"
