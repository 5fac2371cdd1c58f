"""The records of the stages that follow `miner embed`: what each stage found, and the files that it wrote."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from miner.artifacts.artifact import RecordPart, StageArtifact
from miner.artifacts.embeddings.manifest import EncoderRecord, SourceRecord
from miner.artifacts.pairs.band import BandRecord
from miner.artifacts.pairs.manifest import UNKNOWN_PRECISION, Composition, LabelStatistics, PairsManifest
from miner.artifacts.pairs.rule import NEIGHBORS, SHARED, RuleName
from miner.artifacts.runs.manifest import collapse_verdict
from miner.artifacts.workspace import Workspace
from miner.engine import Record
from miner.source.webdataset.shards import ShardSource
from miner.tables import interval_text
from miner.text import counted

CLASSIFIERS = ("linear", "knn")


class ComparedRule(RecordPart):
    """What a rule chooses among the images that were compared.

    Attributes:
        min, max: of a band.
        label_precision: share of the pairs whose labels agree; None where images have no labels.
    """

    rule: RuleName
    min: float | None = None
    max: float | None = None
    neighbors: int = NEIGHBORS
    shared: int = SHARED
    pairs: int
    images_in_pairs: int
    image_coverage: float
    composition: Composition
    label_precision: float | None

    @property
    def name(self) -> str:
        """The rule with its numbers."""
        if self.rule == "band":
            return f"band {self.min:g} to {self.max:g}"
        return (
            f"shared {self.shared} of {2 * self.neighbors}"
            if self.rule == "shared"
            else f"{self.rule} {self.neighbors}"
        )


class RuleComparison(RecordPart):
    """The rules side by side; the recommended one is the last. `images` were searched: all, or a sample."""

    images: int
    rules: list[ComparedRule]


class CalibrationRecord(StageArtifact):
    """What `miner calibrate` found: a band proposed for these embeddings.

    Attributes:
        self_similarity: quantiles of the cosine of two augmentations of one image, and of how many `images`: 0 where no encoder is
            known.
        labels: estimated precision of the band; None where images have no labels.
        comparison: None in records of old versions, and until `miner calibrate` itself has run.
    """

    command: ClassVar = "miner calibrate"

    files: dict[str, Record] = Field(default_factory=dict)
    band: BandRecord
    images: int
    estimated_pairs: int
    estimated_pairs_above: int = 0
    self_similarity: Record = Field(default_factory=dict)
    labels: Record | None = None
    comparison: RuleComparison | None = None

    @classmethod
    def path(cls, workspace: Workspace) -> Path:
        return workspace.calibration

    @property
    def verdict(self) -> str:
        """Which rule is recommended, how many images it reaches beside the band, and how many of its pairs are right if known."""
        if self.comparison is None:
            return ""
        band, best = self.comparison.rules[0], self.comparison.rules[-1]
        if not best.pairs:
            return f"the band is recommended, since the rule {best.name} chooses nothing"
        precision = best.label_precision
        right = UNKNOWN_PRECISION if precision is None else f"{precision:.1%} of its pairs join one class"
        if band.label_precision is not None:
            right += f" ({band.label_precision:.1%} of the band's)"
        return (
            f"the rule {best.name} is recommended: {best.image_coverage:.0%} of the images are in a pair "
            f"({band.image_coverage:.0%} by the band); {right}"
        )


# Images of the study where pairs raised the accuracy (docs/results.md).
_IMAGES_WITH_GAIN = 20_000


class ExportRequest(RecordPart):
    """What `miner export` was asked for; `pairs` is `PairsManifest.table_identity`."""

    pairs: str
    pairs_only: bool = False


class ShardSet(RecordPart):
    """Shards whose samples have the same fields, such as `images` or `pairs-jpg-png`."""

    fields: list[str]


class ShardsManifest(StageArtifact):
    """What is in `shards/`.

    Attributes:
        duplicate_images: number of images that were left out with --without-duplicates.
        not_retrieved: number of images that were left out with --retrieved.
        left_out: number of pairs that were left out, by reason.
        samples: number of samples by shard.
        sets: by name; None in records of old versions.
    """

    command: ClassVar = "miner export"
    folder: ClassVar = "shards"

    request: ExportRequest
    source: str
    classes: list[str] | None = None
    encoder: EncoderRecord
    images: int
    duplicate_images: int = 0
    not_retrieved: int = 0
    pairs: int
    images_in_pairs: int
    left_out: dict[str, int]
    labels: LabelStatistics | None
    samples: dict[str, int]
    sets: dict[str, ShardSet] | None = None

    @property
    def image_shards(self) -> list[str]:
        """Names of the shards that hold images, sorted."""
        return sorted(name for name in self.files if name.startswith("images-") and name.endswith(".tar"))

    def image_source(self, folder: Path) -> ShardSource:
        """The exported images in the folder of this manifest. Tar files that others have put there are not opened.

        Raises:
            MinerError: there are none, or a shard is missing or damaged.
        """
        return ShardSource(str(folder), self.classes, [str(folder / name) for name in self.image_shards])

    @property
    def verdict(self) -> str:
        """Whether training on it can gain from the pairs, as far as that has been measured."""
        few = (
            f"{counted(self.images, 'image is', 'images are')} few to train on: "
            if self.images < _IMAGES_WITH_GAIN
            else ""
        )
        return (
            f"{few}pairs raised the accuracy in a study with {_IMAGES_WITH_GAIN:,} images (docs/results.md); whether these pairs "
            "do, a training shows beside one with --pairs-arm none"
        )

    def was_made_of(self, pairs: PairsManifest) -> bool:
        """Whether the export read this very table of pairs."""
        return self.request.pairs == pairs.table_identity


class RefineRequest(RecordPart):
    """What `miner refine` was asked for.

    Attributes:
        run: name of the run whose graphs were refined; None for the neighbour graph of the embeddings.
        run_files: `RunManifest.identity` of that run.
    """

    run: str | None = None
    run_files: str | None = None
    neighbors: int
    layers: int
    conv: str
    graph: str


class RefinedManifest(StageArtifact):
    """What `miner refine` wrote.

    Attributes:
        messages: edges of the graph; of two graphs the larger number.
        batch_size: images of a training step.
        final_spread: the spread of the features at the end of training; a spread of 1 is healthy, 0 is collapse.
    """

    command: ClassVar = "miner refine"
    folder: ClassVar = "refined.embeddings"

    request: RefineRequest
    source: SourceRecord
    count: int
    dim: int
    messages: int
    batch_size: int
    final_loss: float
    final_spread: float

    @property
    def verdict(self) -> str:
        """Whether the features collapsed; more is not known before an evaluation."""
        return collapse_verdict(
            self.final_spread, "whether the refined vectors are better than the raw ones", "miner eval graph"
        )


class GraphManifest(StageArtifact):
    """What `miner eval graph` found: the table of arms, and by classifier the gain of the graph network over smoothing."""

    command: ClassVar = "miner eval graph"
    folder: ClassVar = "graph"

    rows: list[Record]
    verdict: dict[str, Record]
    n_train: int
    n_test: int


def verdict_sentences(verdict: Mapping[str, Record]) -> list[str]:
    """Whether the graph network beats smoothing without parameters, by classifier.

    Args:
        verdict: `interval_record` of the difference in percentage points, by classifier.
    """
    lines = []
    for name, gain in verdict.items():
        mean, half_width = gain["mean"], gain["half_width"]
        clear = half_width is not None and abs(mean) > half_width
        relation = ("beats" if mean > 0 else "loses to") if clear else "neither beats nor loses to"
        points = interval_text(gain, 2, "+") + (" points, one seed" if half_width is None else " points")
        lines.append(f"{name}: the graph network {relation} smoothing without parameters ({points}, inductive)")
    return lines


class ConfigSize(RecordPart):
    """Size of a configuration of the data set."""

    rows: int
    bytes: int


class HardNegatives(RecordPart):
    """How many negatives an anchor has, and of how many anchors.

    Attributes:
        same_label: share of the negatives whose label is that of the anchor; None where images have no labels.
    """

    each: int
    anchors: int
    anchors_with_fewer: int
    same_label: float | None


class PublishedManifest(StageArtifact):
    """What is in `publish/`, or in the folder that `miner publish --to` names; `configs` by the name for `load_dataset`."""

    command: ClassVar = "miner publish"
    folder: ClassVar = "published"

    title: str
    configs: dict[str, ConfigSize]
    negatives: HardNegatives | None = None
