"""Options of `miner pairs` and `miner calibrate`."""

from itertools import chain
from typing import Any, Literal, Self

from pydantic import model_validator

from miner.artifacts.pairs.band import Band
from miner.options import Cosine, MemorySize, Options, flag_name, option

_APPROXIMATE = {"ivf": ("recall", "nlist", "nprobe"), "hnsw": ("recall", "links", "ef_construction", "ef_search")}


Keep = Literal["largest", "sharpest", "first", "labelled"]


class PairsOptions(Options):
    """Find every pair of different images whose cosine similarity lies in a band.

    The result is exact, unless --engine is ivf or hnsw. The right band depends on the encoder and on the images; `miner calibrate`
    proposes one.

    \b
      miner pairs --auto                     the band of `miner calibrate`
      miner pairs --min 0.8 --max 0.95       a band of your own
      miner pairs --auto --neighbors 10      also the graph of nearest neighbours
    """

    panel = "basics"

    min: Cosine = option(0.97, decides_result=False)
    """Lowest cosine similarity of a pair. The default is the band of the SePP-ID paper; it fits few encoders. Use --auto."""
    max: Cosine = option(0.99, decides_result=False)
    """Highest cosine similarity of a pair. Images above it count as duplicates. See --min for the default."""
    auto: bool = option(False, decides_result=False)
    """Take the band that `miner calibrate` has proposed, instead of --min and --max."""
    sample: float | None = option(None, gt=0)
    """Mine among random images only: a fraction up to 1, or their number. The paper SePP-ID takes 0.1."""
    top_k: int | None = option(None, ge=1)
    """Keep at most this many partners of one image, the most similar ones."""
    most_similar: int | None = option(None, ge=1, decides_result="if changed")
    """Keep at most this many pairs in all, the most similar ones."""
    mutual: bool = option(False)
    """Keep a pair only if each image is among the k nearest neighbours of the other. k is --neighbors, or else 5."""
    neighbors: int | None = option(None, ge=1, panel="output")
    """Also write the exact graph of this many nearest neighbours, as knn_ids.npy and knn_sims.npy, and report its hubs."""
    groups: bool = option(False, panel="output", decides_result="if changed")
    """Also write connected components, and groups by complete linkage, as groups.parquet."""
    keep: Keep = option("largest", panel="output", decides_result="if changed")
    """The image to keep of each group of near-identical images and equal files: the one with the most pixels, the sharpest one
    (decodes them), the first one, or one with a label. duplicate_images.parquet lists the others; see `miner export
    --without-duplicates`."""
    both_orders: bool = option(False, panel="output", decides_result="if changed")
    """Write each pair as (a, b) and as (b, a), as the paper SePP-ID does."""
    engine: Literal["exact", "faiss", "ivf", "hnsw"] = option("exact", panel="engine")
    """exact: every pair; fastest up to a few million images. faiss: the same pairs, from a flat FAISS index. ivf: most of the
    pairs, for more images; the time grows with n^1.5. hnsw: most of the pairs, from a graph, for bands with few pairs per
    image. ivf and hnsw measure their recall and report it."""
    recall: float = option(0.98, gt=0, le=1, panel="engine")
    """ivf, hnsw: share of the pairs to find. The engine chooses its search parameters on 1,000 random images, and measures the
    recall on 1,000 others."""
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
    """Search only images that were embedded after the last `miner pairs`, and keep the old pairs. Give the
    options of that run again."""
    engine_address: str | None = option(None, panel="engine", decides_result=False)
    """Search on a Ray cluster: auto, or ray://HOST:PORT. Needs the extra `ray`."""
    max_pairs: int = option(50_000_000, ge=1, panel="engine", decides_result=False)
    """Stop with an explanation if the band holds more pairs than this."""

    @property
    def band(self) -> Band:
        """The band of --min and --max; --auto takes another one."""
        return Band(self.min, self.max)

    def approximation(self) -> dict[str, Any]:
        """The engine and its options where they decide which pairs are found; empty for the exact engines."""
        names = _APPROXIMATE.get(self.engine)
        return self.model_dump(mode="json", include={"engine", *names}) if names else {}

    def request(self) -> dict[str, Any]:
        """The request as for every stage, without the engine options that do not change which pairs are found."""
        foreign = {"engine", *chain(*_APPROXIMATE.values())} - self.approximation().keys()
        return {name: value for name, value in super().request().items() if name not in foreign}

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

    @model_validator(mode="after")
    def _band_is_ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"--min {self.min} is above --max {self.max}; a band needs --min <= --max")
        if self.append and self.sample is not None:
            raise ValueError(
                "--append continues with all images, and --sample would draw others; leave out one of them"
            )
        if self.auto and self.model_fields_set & {"min", "max"}:
            raise ValueError(
                "--auto takes the band of `miner calibrate`; leave --min and --max out, or leave out --auto"
            )
        return self


class CalibrateOptions(Options):
    """Propose a band: the lowest and the highest similarity of a pair.

    The highest is the similarity above which images count as duplicates. The lowest is set so that the band holds --budget
    pairs per image. Labels are not used. Next: `miner pairs --auto`.
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
