"""The manifest of `pairs/`."""

import math
from typing import ClassVar

from pydantic import Field

from miner.artifacts.artifact import RecordPart, StageArtifact
from miner.artifacts.embeddings.manifest import EncoderRecord
from miner.artifacts.pairs.band import Band, BandRecord
from miner.artifacts.pairs.rule import NEIGHBORS, SHARED, AnyRule, Rule
from miner.engine import Record, fingerprint
from miner.text import counted

LISTS = "lists.npy"
UNKNOWN_PRECISION = "how many pairs are right is not known without labels or a review"
UNEVEN = 0.5  # share of the pair ends that a tenth of the images may have, and of the images that a good set reaches
# The files in `pairs/`, and those that go when it is finished, as patterns of `StageFolder`.
RESULTS = (
    *("pairs.parquet", "duplicates.parquet", "duplicate_images.parquet", "dropped.parquet", "groups.parquet"),
    *("knn_ids.npy", "knn_sims.npy", LISTS),
)
# "candidates-*.npy" are of earlier versions.
_PARTS = ("strip-*.parquet", "strip-*.npy", "cells-*.npy", "candidates-*.npy", "ids.npy", "cosines.npy")
SCRATCH = tuple(f"{folder}/{name}" for folder in ("parts", "parts/agree-*") for name in _PARTS)


class PairsRequest(RecordPart):
    """What `miner pairs` was asked for.

    Attributes:
        rule: what makes a pair; in records of old versions always a band.
        neighbors: k of the rule; of a band, k of the neighbour graph, None without a graph.
        both_orders: whether the table lists each pair as (a, b) and as (b, a).
    """

    embeddings: str
    band: BandRecord
    rule: AnyRule = "band"
    neighbors: int | None = None
    local: float = 0.0
    shared: int = SHARED
    both_orders: bool = False

    @property
    def condition(self) -> str:
        """What makes two images a pair, in words."""
        cosine = f"cosine in [{self.band.low:g}, {self.band.high:g}]"
        if self.rule == "band":
            return cosine
        if self.band.low == -1:
            cosine = f"cosine of at most {self.band.high:g}"
        if self.rule == "table" and self.band == Band(-1.0, 1.0):
            return str(Rule(self.rule))
        return f"{Rule(self.rule, self.neighbors or NEIGHBORS, self.local, self.shared)}; {cosine}"

    @property
    def described(self) -> str:
        """The condition as it stands behind a number of pairs."""
        return f"with {self.condition}" if self.rule == "band" else f"by the rule {self.rule} ({self.condition})"


class ConstraintCount(RecordPart):
    """What a constraint on metadata has done.

    Attributes:
        constraint: as it is typed.
        left_out: number of pairs of the rule that do not meet it.
        unknown: number of searched images without a value, which are in no pair.
    """

    constraint: str
    left_out: int
    unknown: int

    def __str__(self) -> str:
        unknown = f"; {counted(self.unknown, 'image has', 'images have')} no value and no pair" if self.unknown else ""
        return f"{self.constraint} leaves out {counted(self.left_out, 'pair')}{unknown}"


class Voter(RecordPart):
    """An embedding whose vote counts.

    Attributes:
        chosen: number of pairs that the rule chooses in it.
        asked: the request of its `miner embed`.
    """

    encoder: str
    chosen: int
    asked: Record


class PairVotes(RecordPart):
    """How many embeddings choose the pairs.

    Attributes:
        at_least: votes that a pair needs.
        embeddings: that of the workspace first.
        votes: a number of votes, and how many pairs have it; most votes first.
    """

    at_least: int
    embeddings: list[Voter]
    votes: list[list[int]]

    def __str__(self) -> str:
        of = len(self.embeddings)
        found = ", ".join(f"{pairs:,} in {votes}" for votes, pairs in self.votes) or "none"
        each = ", ".join(f"{voter.chosen:,} by {voter.encoder}" for voter in self.embeddings)
        return f"chosen in at least {self.at_least} of {of} embeddings: {found}; in each: {each}"


class TableRecord(RecordPart):
    """The table of `--table`.

    Attributes:
        name: of the file.
        columns: of both images, and of the score if there is one.
        self_pairs, unusable, repeats: rows that were left out: an image with itself, an image without a vector, a pair again.
    """

    name: str
    columns: list[str]
    rows: int
    self_pairs: int
    unusable: int
    repeats: int

    def __str__(self) -> str:
        reasons = {
            "of an image with itself": self.self_pairs,
            "of an image without a vector": self.unusable,
            "of a pair that stands before": self.repeats,
        }
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
        return f"{counted(self.rows, 'row')} of {self.name} ({', '.join(self.columns)})" + (
            f"; left out: {left_out}" if left_out else ""
        )


class Degree(RecordPart):
    """Numbers of partners of the images that are in a pair.

    Attributes:
        partners, images: the distribution: `images[i]` images have `partners[i]` partners. Empty in records of old versions.
    """

    mean: float
    median: float
    max: int
    partners: list[int] = Field(default_factory=list)
    images: list[int] = Field(default_factory=list)


class Parts(RecordPart):
    """Clusters or classes, and the pair ends in them.

    Attributes:
        three_largest_share: share of all pair ends in the three parts that have the most.
        names: numbers of the parts; `images` and `ends` are in their order.
    """

    number: int
    without_pairs: int
    three_largest_share: float
    names: list[int]
    images: list[int]
    ends: list[int]


class Composition(RecordPart):
    """How the ends of all pairs spread; `composition` in `miner/pairs/tables` says how each number is measured.

    Attributes:
        largest_share: share of all pair ends that the image with the most partners has.
        tenth_share: that of the tenth of the images with the most partners.
        classes: None where images have no labels.
    """

    effective_images: float
    effective_share: float
    largest_share: float
    tenth_share: float
    clusters: Parts
    classes: Parts | None = None


class LabelStatistics(RecordPart):
    """How well labels agree; `label_statistics` in `statistics.py` says how each number is measured.

    Attributes:
        precision: share of the pairs whose labels agree; None where no pair has labels.
        chance: precision of random pairs.
        by_threshold: precision and coverage by similarity, from the highest threshold.
    """

    precision: float | None
    chance: float
    by_threshold: list[Record]


class PairsManifest(StageArtifact):
    """What is in `pairs/`.

    Attributes:
        images: that were searched.
        pairs: the pairs of the band, each counted once.
        duplicates: pairs above the band or of equal files.
        duplicate_images: groups of near-identical images, and the images that are not kept; None in records of old versions.
        exact: whether no pair of the band was missed; `recall` is measured where pairs may be missing.
        composition: None in records of old versions.
        mutual_neighbours: k of the column `mutual`.
        agreement: of several embeddings, with --agree.
        table: of --table, whose pairs these are.
        constraints: on metadata.
        metadata_table: the name of the file that --metadata named.
        labels: None where images have no labels.
        histogram: similarities of all pairs.
        neighbours, groups: hubs of the neighbour graph, and sizes of components and groups, if there are any.
        proposal: a better band, where this one is empty or holds very many pairs.
        vectors: number and files of the vectors that were searched; None in records of old versions.
    """

    command: ClassVar = "miner pairs"
    folder: ClassVar = "pairs"
    growth_hint: ClassVar = (
        " If images were only added, `miner pairs --append` with the same options keeps the old pairs."
    )

    request: PairsRequest
    encoder: EncoderRecord | None = None
    images: int
    pairs: int
    images_in_pairs: int
    image_coverage: float
    duplicates: int
    duplicate_images: Record | None = None
    mutual_neighbours: int = 5
    agreement: PairVotes | None = None
    table: TableRecord | None = None
    constraints: list[ConstraintCount] = Field(default_factory=list)
    metadata_table: str | None = None
    degree: Degree
    composition: Composition | None = None
    exact: bool = False
    engine: str = "exact"
    recall: float | Record | None = None
    labels: LabelStatistics | None
    histogram: Record
    neighbours: Record | None = None
    groups: Record | None = None
    proposal: BandRecord | None = None
    vectors: Record | None = None

    @property
    def table_identity(self) -> str:
        """Changes when `pairs.parquet` changes."""
        return fingerprint(self.files["pairs.parquet"])

    @property
    def described(self) -> str:
        """The condition as it stands behind a number of pairs, and in how many embeddings it has to hold if there are several."""
        votes = self.agreement
        if votes is None:
            return self.request.described
        of = len(votes.embeddings)
        where = f"each of {of}" if votes.at_least == of else f"at least {votes.at_least} of {of}"
        return f"{self.request.described}, in {where} embeddings"

    @property
    def is_uneven(self) -> bool:
        """Whether a tenth of the images holds most pair ends. Few pairs are never called so: it is always true of them."""
        of_many = self.pairs * 10 > self.images
        return bool(self.composition and of_many and self.composition.tenth_share > UNEVEN)

    @property
    def verdict(self) -> str:
        """Whether the pairs are good, in words: how evenly they use the images, and how many are right as far as known."""
        if not self.pairs:
            return "no two images are such a pair"
        spread = f"{self.image_coverage:.0%} of the images are in a pair"
        if self.composition and self.is_uneven:
            spread = f"uneven: a tenth of the images holds {self.composition.tenth_share:.0%} of all pair ends"
        elif self.image_coverage < UNEVEN:
            spread = f"only {spread}"
        right = UNKNOWN_PRECISION
        if self.labels and self.labels.precision is not None:
            right = f"{self.labels.precision:.1%} of the pairs join one class (random pairs: {self.labels.chance:.1%})"
        return f"{spread}; {right}"

    @property
    def completeness(self) -> str:
        """Whether pairs may be missing, in words."""
        if self.exact:
            return "exact"
        return recall_in_words(self.recall) if isinstance(self.recall, dict) else "recall unknown"


def recall_in_words(record: Record) -> str:
    """The recall of an approximate search, rounded down: 100 % means that no pair, or no neighbour, is missed."""
    images, of_lists = counted(record["anchors"], "sampled image"), "neighbours" in record
    if record["value"] is None:
        reason = f"no neighbour of {images} is known" if of_lists else f"no pair of {images} lies in the band"
        return f"recall could not be measured ({reason})"
    value, low, high = (f"{math.floor(record[name] * 10_000 + 1e-9) / 100:g} %" for name in ("value", "low", "high"))
    true = counted(record["neighbours"], "neighbour") if of_lists else counted(record["pairs"], "pair")
    return f"recall {'of the neighbour lists ' * of_lists}{value} ({low} to {high}, on {true} of {images})"
