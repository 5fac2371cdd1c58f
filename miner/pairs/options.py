"""Options of `miner pairs` and `miner calibrate`."""

import math
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from miner.artifacts.pairs.rule import NEIGHBORS, SHARED, Rule, RuleName
from miner.options import Cosine, MemorySize, Names, Options, flag_name, option
from miner.text import counted

# What a search between two sets takes.
_OF_TWO_SETS = {
    *(
        "against",
        "rule",
        "min",
        "max",
        "auto",
        "neighbors",
        "engine",
        "device",
        "memory",
        "engine_address",
        "max_pairs",
    ),
}
# What only a band has; without --rule, each of them asks for a band.
_OF_A_BAND = ("auto", "mutual", "groups")
_OF_A_SEARCH = (
    *("against", "append", "rule", "local", "shared", "sample", "neighbors", "agree", "engine", "engine_address"),
    *_OF_A_BAND,
)
_MUTUAL_NEIGHBOURS = 5
_APPROXIMATE = {"ivf": ("recall", "nlist", "nprobe"), "hnsw": ("recall", "links", "ef_construction", "ef_search")}


Keep = Literal["largest", "sharpest", "first", "labelled"]


class PairsOptions(Options):
    """Find pairs of different images that show the same: by their nearest neighbours, or every pair of a band of similarity.

    Without options, two images are a pair if each is among the 10 nearest of the other, and if at least 6 of their 20 nearest
    agree. Duplicates are left out first. The result is exact, unless --engine is ivf or hnsw.

    \b
      miner pairs                            the recommended rule
      miner pairs --rule mutual --neighbors 5
      miner pairs --auto                     the band of `miner calibrate`
      miner pairs --min 0.8 --max 0.95       every pair of a band of your own
      miner pairs --against photos/test --min 0.9   every pair of an image here and an image there
      miner pairs --table pairs.csv          pairs that you have already
    """

    panel = "basics"

    rule: RuleName | None = option(None, decides_result=False, shown_default="shared; band with an option of a band")
    """What makes a pair. band: a similarity from --min to --max. The others ask for nearest neighbours: knn, one is among the
    --neighbors nearest of the other. mutual: each is. local: they are more similar than the neighbours of both, see --local.
    shared: mutual, and their lists agree, see --shared."""
    min: Cosine | None = option(None, decides_result=False, shown_default="0.97 for a band")
    """Lowest cosine similarity of a pair. The default is the band of the SePP-ID paper; it fits few encoders. Use --auto."""
    max: Cosine | None = option(None, decides_result=False, shown_default="0.99 for a band, else as calibrated")
    """Highest cosine similarity of a pair. Images above it count as duplicates, and as no neighbours of each other."""
    auto: bool = option(False, decides_result=False)
    """Take the band that `miner calibrate` has proposed, instead of --min and --max."""
    local: float | None = option(None, ge=0, decides_result=False, shown_default="0")
    """local: twice the similarity of a pair must exceed the sum of two means by this much. The means are those of each image
    over its --neighbors nearest."""
    shared: int | None = option(None, ge=1, decides_result=False, shown_default=f"{SHARED}")
    """shared: two images must have so many of their nearest neighbours in common. Lists of twice --neighbors are compared."""
    sample: float | None = option(None, gt=0)
    """Mine among random images only: a fraction up to 1, or their number. The paper SePP-ID takes 0.1."""
    top_k: int | None = option(None, ge=1)
    """Keep at most this many partners of one image, the most similar ones."""
    most_similar: float | None = option(None, gt=0, decides_result="if changed")
    """Keep at most this many pairs in all, the most similar ones. Below 1: a share of the number of images."""
    mutual: bool = option(False)
    """band: keep a pair only if each image is among the k nearest neighbours of the other. k is --neighbors, or else 5."""
    neighbors: int | None = option(None, ge=1, shown_default=f"{NEIGHBORS}; none for a band")
    """Nearest neighbours that a rule looks at. band: also write the exact graph of this many neighbours, as knn_ids.npy and
    knn_sims.npy, and report its hubs."""
    against: str | None = option(None, decides_result=False, metavar="OTHER")
    """Pairs between two sets: an image here, and an image of OTHER. OTHER is another workspace with vectors of the same encoder;
    or images as `miner embed` reads them, which are embedded below the workspace, once; or a .npy, .npz or .safetensors file of
    vectors. With --min: every pair up to --max. Else: the --neighbors nearest there of each image here. Writes
    against/NAME/matches.parquet."""
    table: Path | None = option(None, panel="pair table", decides_result=False, metavar="FILE")
    """Take the pairs of this table instead of searching: .csv, .tsv, .parquet or .jsonl with a row for each pair. Its images are
    named by key, path or file name. Filters such as --min, --max, --top-k and --differ apply."""
    table_columns: Names = option([], panel="pair table", decides_result="if changed", metavar="COLUMN...")
    """Columns of the table: both images, and a score. If not given: key_a and key_b, path_a and path_b, image1 and image2, anchor
    and positive, or a and b; and score."""
    agree: Names = option([], panel="agreement", decides_result=False, metavar="WORKSPACE...")
    """Other workspaces with the same images, embedded by another encoder, seed or checkpoint. A pair must be chosen by the rule in
    several of the embeddings, see --at-least. The cosine in each is in the table."""
    at_least: int | None = option(
        None, ge=1, panel="agreement", decides_result="if changed", shown_default="all of them"
    )
    """Embeddings, this workspace's included, that must choose a pair."""
    differ: Names = option([], panel="metadata", decides_result="if changed", metavar="COLUMN...")
    """Keep a pair only if the two images have different values in this column: another recording, patient or product. `folder` is
    the folder of an image. An image without a value is in no pair."""
    same: Names = option([], panel="metadata", decides_result="if changed", metavar="COLUMN...")
    """Keep a pair only if the two images have the same value in this column."""
    apart: Names = option([], panel="metadata", decides_result="if changed", metavar="COLUMN:DISTANCE...")
    """Keep a pair only if the values of this column are at least this far apart: numbers, or dates with a distance in days."""
    metadata: Path | None = option(None, panel="metadata", decides_result=False, metavar="FILE")
    """Table with the columns: a .csv, .tsv or .parquet file with a column `key` or `path` that names the image. If not given: the
    JSON of WebDataset shards, or the columns of Parquet files, as they are now."""
    groups: bool = option(False, panel="output", decides_result="if changed")
    """band: also write connected components, and groups by complete linkage, as groups.parquet."""
    keep: Keep = option("largest", panel="output", decides_result="if changed")
    """The image to keep of each group of near-identical images and equal files: the one with the most pixels, the sharpest one
    (decodes them), the first one, or one with a label. duplicate_images.parquet lists the others; see `miner export
    --without-duplicates`."""
    both_orders: bool = option(False, panel="output", decides_result="if changed")
    """Write each pair as (a, b) and as (b, a), as the paper SePP-ID does."""
    engine: Literal["exact", "faiss", "ivf", "hnsw"] = option("exact", panel="engine")
    """exact: every pair, for any rule; fastest up to a few million images. faiss: the same pairs of a band, from a flat FAISS
    index. ivf: most pairs of a band, or most neighbours of another --rule, for more images; the time grows with n^1.5. hnsw: the
    same from a graph, for bands with few pairs per image. ivf and hnsw measure their recall and report it."""
    recall: float = option(0.98, gt=0, le=1, panel="engine")
    """ivf, hnsw: share of the pairs, or of the neighbours, to find. The engine chooses its search parameters on 1,000 random
    images, and measures the recall on 1,000 others."""
    nlist: int | None = option(None, ge=1, panel="expert")
    """ivf: number of cells. If not given: 4 times the square root of the images."""
    nprobe: int | None = option(None, ge=1, panel="expert")
    """ivf: cells to search for each image, instead of --recall."""
    links: int = option(32, ge=2, panel="expert")
    """hnsw: links of an image in the graph (M). More links find more and cost memory."""
    ef_construction: int = option(100, ge=1, panel="expert")
    """hnsw: candidates for the links while the graph is built."""
    ef_search: int | None = option(None, ge=1, panel="expert")
    """hnsw: candidates while the graph is searched, instead of --recall."""
    device: str = option("auto", panel="engine", decides_result=False)
    """auto (every GPU, else the CPU), cpu, cuda, or a list: cuda:0,cuda:1. With mps, the CPU computes. ivf and hnsw always
    compute on the CPU."""
    seed: int = option(0, panel="expert")
    """Seed of --sample, and of the random choices of ivf and hnsw."""
    memory: MemorySize | None = option(None, panel="engine", decides_result=False)
    """exact: memory to use beside the imported libraries, such as 512MB or 8GB. Vectors that do not fit are read again from
    disk. If not given: 60 % of the free memory."""
    append: bool = option(False, decides_result=False)
    """Search only images that were embedded after the last `miner pairs`. Give the options of that run again. A band or ceiling of
    `miner calibrate` stays what it was."""
    engine_address: str | None = option(None, panel="engine", decides_result=False)
    """Search on a Ray cluster: auto, or ray://HOST:PORT. Needs the extra `ray`."""
    max_pairs: int = option(50_000_000, ge=1, panel="engine", decides_result=False)
    """Stop with an explanation if there are more pairs than this."""

    @property
    def chosen_rule(self) -> Rule:
        """The rule with its numbers. Without --rule the other options say which: --local, --shared, or one of a band."""
        if self.table is not None:
            return Rule("table")
        of_a_band = any(getattr(self, name) for name in _OF_A_BAND) or self.engine != "exact"
        of_a_band |= (self.min, self.max) != (None, None) and not (self.against and self.neighbors)
        rules: tuple[RuleName, ...] = ("local", "shared")
        own = next((name for name in rules if getattr(self, name) is not None), None)
        name: RuleName = self.rule or own or ("band" if of_a_band else "knn" if self.against else "shared")
        return Rule(name, **self.model_dump(include={"neighbors", "local", "shared"}, exclude_none=True))

    @property
    def mutual_neighbours(self) -> int:
        """k of the column `mutual`."""
        rule = self.chosen_rule
        return (self.neighbors or _MUTUAL_NEIGHBOURS) if rule.name == "band" else rule.neighbors

    @property
    def limits(self) -> tuple[float, float | None]:
        """Lowest and highest cosine of a pair without --auto; no highest where it is the calibrated one."""
        top = 1.0 if self.against else 0.99
        low, high = {"band": (0.97, top), "table": (-1.0, 1.0)}.get(self.chosen_rule.name, (-1.0, None))
        return low if self.min is None else self.min, high if self.max is None else self.max

    @property
    def can_grow(self) -> bool:
        """Whether --append can continue what these options find, when more images follow."""
        return not (self.table or self.agree or self.sample is not None or self.approximation())

    def approximation(self) -> dict[str, Any]:
        """The engine and its options where they decide which pairs are found; empty for the exact engines."""
        names = _APPROXIMATE.get(self.engine)
        return self.model_dump(mode="json", include={"engine", *names}) if names else {}

    def request(self) -> dict[str, Any]:
        """The request as for every stage, without the engine options that do not change which pairs are found.

        A rule stands in it with its numbers. A band does not: a request without a rule is one for a band.
        """
        foreign = {"engine", *chain(*_APPROXIMATE.values())} - self.approximation().keys()
        rule = self.chosen_rule
        asked = super().request() | ({} if rule.name == "band" else rule.record())
        return {name: value for name, value in asked.items() if name not in foreign}

    @model_validator(mode="after")
    def _engine_has_its_options(self) -> Self:
        for name, field in type(self).model_fields.items():
            owners = [engine for engine, names in _APPROXIMATE.items() if name in names]
            if owners and self.engine not in owners and getattr(self, name) != field.default:
                raise ValueError(f"{flag_name(name)} belongs to --engine {' or '.join(owners)}, not to {self.engine}")
        if self.append and self.engine in _APPROXIMATE:
            raise ValueError(
                f"--append needs an exact engine: what {self.engine} finds among old images depends on the new ones"
            )
        return self

    @field_validator("most_similar")
    @classmethod
    def _share_or_number(cls, value: float | None) -> float | None:
        if value is not None and value >= 1 and value != int(value):
            raise ValueError(f"{value} is neither a share below 1 nor a whole number of pairs")
        return value if value is None or value < 1 else int(value)

    @field_validator("apart")
    @classmethod
    def _distances_are_numbers(cls, texts: list[str]) -> list[str]:
        for text in texts:
            parse_apart(text)
        return texts

    @model_validator(mode="after")
    def _two_sets_have_their_options(self) -> Self:
        if self.against is None:
            return self
        for name, field in type(self).model_fields.items():
            if name not in _OF_TWO_SETS and getattr(self, name) != field.default:
                raise ValueError(f"{flag_name(name)} chooses among the pairs of one set; leave it or --against out")
        if self.engine in _APPROXIMATE:
            raise ValueError(f"--against finds all of its pairs, which {self.engine} may miss; leave --engine out")
        if self.chosen_rule.name not in ("band", "knn"):
            raise ValueError(
                f"--rule {self.chosen_rule.name} needs one set; --against takes band, or knn with --neighbors"
            )
        if self.chosen_rule.name == "band" and not self.auto and self.min is None:
            raise ValueError("--against with a band needs --min, the lowest cosine of a pair; or leave --max out")
        if self.chosen_rule.name == "band" and self.neighbors:
            raise ValueError("--against: a band has no --neighbors; leave one of them out")
        return self

    @model_validator(mode="after")
    def _agreement_is_possible(self) -> Self:
        if self.at_least is not None and not self.agree:
            raise ValueError("--at-least counts the workspaces of --agree; give both")
        if self.at_least is not None and self.at_least > len(self.agree) + 1:
            raise ValueError(
                f"--at-least {self.at_least}: with this workspace there are only {counted(len(self.agree) + 1, 'embedding')}"
            )
        foreign = next((name for name in ("append", "groups", *self.approximation()) if getattr(self, name)), None)
        if self.agree and foreign:
            raise ValueError(f"{flag_name(foreign)} and --agree exclude each other; leave out one of them")
        return self

    @model_validator(mode="after")
    def _table_needs_no_search(self) -> Self:
        if self.table is None and self.table_columns:
            raise ValueError("--table-columns names columns of --table; give both")
        if self.table is not None and len(self.table_columns) not in (0, 2, 3):
            raise ValueError("--table-columns names both images, and a score if there is one: two or three columns")
        given = [name for name in _OF_A_SEARCH if getattr(self, name) != type(self).model_fields[name].default]
        if self.table is not None and given:
            raise ValueError(
                f"{flag_name(given[0])} belongs to a search, and --table gives the pairs; leave out one of them"
            )
        return self

    @model_validator(mode="after")
    def _metadata_has_a_use(self) -> Self:
        if self.metadata and not (self.differ or self.same or self.apart):
            raise ValueError("--metadata is read for --differ, --same and --apart; give one of them")
        return self

    @model_validator(mode="after")
    def _rule_has_its_options(self) -> Self:
        rule = self.chosen_rule
        for name in ("local", "shared"):
            if getattr(self, name) is not None and rule.name != name:
                raise ValueError(f"--{name} belongs to --rule {name}, not to {rule.name}")
        if rule.name == "shared" and rule.shared >= rule.listed:
            raise ValueError(
                f"--shared {rule.shared}: two lists of {rule.listed} have at most {rule.listed - 1} in common"
            )
        foreign = [flag_name(name) for name in _OF_A_BAND if name != "auto" and getattr(self, name)]
        foreign += ["--engine faiss"] * (self.engine == "faiss")
        if rule.name != "band" and foreign:
            raise ValueError(f"{foreign[0]} belongs to --rule band, not to {rule.name}")
        return self

    @model_validator(mode="after")
    def _band_is_ordered(self) -> Self:
        low, high = self.limits
        if high is not None and low > high:
            hint = "; for pairs of nearest neighbours below --max, add --rule shared" if self.rule is None else ""
            raise ValueError(
                f"--min {low} is above --max {high}; a band needs --min <= --max{hint * (self.min is None)}"
            )
        if self.append and self.sample is not None:
            raise ValueError(
                "--append continues with all images, and --sample would draw others; leave out one of them"
            )
        if self.auto and (self.min, self.max) != (None, None):
            raise ValueError(
                "--auto takes the band of `miner calibrate`; leave --min and --max out, or leave out --auto"
            )
        return self


def parse_apart(text: str) -> tuple[str, float]:
    """Column and distance of `--apart COLUMN:DISTANCE`.

    Raises:
        ValueError: the text is something else, or the distance is not positive.
    """
    column, _, distance = text.rpartition(":")
    with suppress(ValueError):
        if column and 0 < float(distance) < math.inf:
            return column, float(distance)
    raise ValueError(f"{text!r} is not COLUMN:DISTANCE with a positive number, such as date:30")


class CalibrateOptions(Options):
    """Propose a band: the lowest and the highest similarity of a pair.

    The highest is the similarity above which images count as duplicates. The lowest is set so that the band holds --budget
    pairs per image. Labels are not used. Rules on nearest neighbours are shown beside the band. Next: `miner pairs`, or for the
    band `miner pairs --auto`.
    """

    budget: float = option(1.0, gt=0)
    """Wanted number of pairs, per image."""
    images: int = option(256, ge=8)
    """Images whose mild augmentations show where duplicates begin."""
    batch_size: int = option(64, ge=1, short="-b", decides_result=False)
    """Images per forward pass."""
    device: str = option("auto", decides_result=False)
    """auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps."""
    seed: int = option(0)
    """Seed of the augmentations and of the sampled images."""
