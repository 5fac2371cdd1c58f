"""The rules side by side: what each of them chooses among the images, or among a seeded sample of them."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.rule import Rule
from miner.artifacts.pairs.statistics import label_statistics, pair_statistics
from miner.engine import LocalExecutor, Record
from miner.pairs.duplicates import are_duplicates, file_numbers
from miner.pairs.embedding import SearchedEmbedding
from miner.pairs.engines.base import STRIP_ROWS
from miner.pairs.options import CalibrateOptions, PairsOptions
from miner.pairs.rules import rule_pairs
from miner.pairs.tables.composition import composition, vector_clusters
from miner.pairs.tables.found import FoundPairs
from miner.pairs.tables.histogram import SimilarityHistogram

RULES = (Rule("knn"), Rule("mutual", 5), Rule("mutual"), Rule("local"), Rule("shared"))
_MOST_IMAGES, _MOST_PAIRS = 20_000, 1_000_000  # that are searched, and that the join may find
_WIDER = 1.5  # pairs above the lower end of the join, per pair of the band: some lie just below the band


@dataclass(frozen=True)
class Comparison:
    """What the rules choose.

    Attributes:
        record: the number of images that were searched, and one record per rule.
        band: of these images; narrower than that of all images if they are a sample.
        near: all pairs in the band, and some below and above it, with the rows of the store.
        recommended: the pairs of the recommended rule, likewise.
    """

    record: Record
    band: Band
    near: FoundPairs
    recommended: FoundPairs


def compare_rules(
    options: CalibrateOptions, store: EmbeddingStore, high: float, histogram: SimilarityHistogram
) -> Comparison:
    """Search the images once by a band and once for neighbour lists, which serve all rules on lists.

    A sample is searched as if there were no other images. Its band holds --budget pairs of the sample per image of the sample.

    Args:
        high: where duplicates begin.
        histogram: of all images.
    """
    images = len(store)
    wide = histogram.pairs_in(Band(-1.0, 1.0)) - histogram.pairs_in(Band(-1.0, high)) + _WIDER * options.budget * images
    few = int(min(_MOST_IMAGES, images * (_MOST_PAIRS / max(wide, 1.0)) ** 0.5, images))
    rows = np.sort(np.random.default_rng(options.seed).permutation(images)[: max(few, 2)])
    wanted = options.budget * images * images / len(rows)
    band = histogram.band_of(wanted, high) or Band(-1.0, high)
    low = (histogram.band_of(_WIDER * wanted, high) or band).low
    searched = SearchedEmbedding(
        PairsOptions(min=low, max=high, device=options.device),
        store,
        rows,
        file_numbers(store)[rows],
        Band(low, high),
        LocalExecutor(),
        STRIP_ROWS,
    )
    labels = None if store.labels is None else store.labels[rows]
    clusters = vector_clusters(searched.vectors, options.seed)

    with TemporaryDirectory() as scratch:
        near = searched.join().run(Path(scratch))
        ids, cosines = searched.lists(max(rule.listed for rule in RULES), Path(scratch))
        in_band = band.contains(near.similarity) & ~are_duplicates(near, high, searched.files)
        chosen = near.select(in_band)
        records = [{"rule": "band", **band.record(), **rule_facts(chosen, len(rows), clusters, labels)}]
        for rule in RULES:
            chosen = rule_pairs(rule, ids[:, : rule.listed], cosines[:, : rule.listed], searched.limit)
            records.append({**rule.record(), **rule_facts(chosen, len(rows), clusters, labels)})
    near, chosen = (replace(pairs, a=rows[pairs.a], b=rows[pairs.b]) for pairs in (near, chosen))
    return Comparison({"images": len(rows), "rules": records}, band, near, chosen)


def rule_facts(pairs: FoundPairs, images: int, clusters: Rows, labels: NDArray[np.int64] | None) -> Record:
    """What is said of the pairs of a rule: their number, the images in them, their composition and their label precision.

    Args:
        images: number of images that were searched.
        clusters: of `vector_clusters`, int64 (images,).
        labels: int64 (images,), -1 where unknown, or None.
    """
    counted = pair_statistics(pairs.a, pairs.b, images)
    degree = np.bincount(np.concatenate([pairs.a, pairs.b]), minlength=images)
    labelled = label_statistics(pairs.a, pairs.b, pairs.similarity, labels)
    return {
        **{name: counted[name] for name in ("pairs", "images_in_pairs", "image_coverage")},
        "composition": composition(degree, clusters, labels),
        "label_precision": None if labelled is None else labelled["precision"],
    }
