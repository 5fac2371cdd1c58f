"""The state of a running exploration: a random part of the images at once, and all of them as soon as they are searched."""

import threading
from collections.abc import Iterator

import numpy as np

from miner.artifacts.embeddings.images import class_name
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.rule import Rule
from miner.engine import Record
from miner.errors import MinerError
from miner.explore.searched_images import SearchedImages
from miner.pairs.calibration.comparison import rule_facts
from miner.pairs.tables.found import FoundPairs
from miner.pairs.tables.histogram import SimilarityHistogram, sample_histogram
from miner.statistics import mean_interval

_FIRST_IMAGES, MOST_IMAGES = 4096, 50_000  # that are searched at once, and in the end
_DRAWS, _ANCHORS = 8, 512  # of histograms; they differ, so the interval of an estimate follows from them
_JOINED_PER_IMAGE, _LEAST_JOINED = 40, 300_000  # pairs that are known one by one


class Search:
    """Answers for the page. Several threads may call every method.

    Args:
        device: as of `miner pairs`.
    """

    def __init__(self, store: EmbeddingStore, device: str) -> None:
        self.store, self._device = store, device
        self.histograms: list[SimilarityHistogram] = []
        self._parts: list[SearchedImages] = []
        self._begun, self._problem = threading.Event(), ""
        self._wanted: tuple[Rule, float] | None = None  # which the largest part does not know yet
        self._searches = 0

    def start(self) -> None:
        """Search in the background: the first part, the histograms, then all images."""
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        try:
            for _ in self._steps():
                pass
        except Exception as error:
            self._problem = str(error) or type(error).__name__
            if not isinstance(error, MinerError):
                raise
        finally:
            self._begun.set()

    def _steps(self) -> Iterator[None]:
        images, vectors, labels = len(self.store), self.store.stored.mapped(), self.store.labels
        order = np.random.default_rng(0).permutation(images)
        exact = images <= _FIRST_IMAGES
        for draw in range(1 if exact else _DRAWS):
            self.histograms.append(sample_histogram(vectors, labels, draw, _FIRST_IMAGES if exact else _ANCHORS))
            if draw == 0:
                self._add(order[:_FIRST_IMAGES])
                yield
        if not exact:
            self._add(order[:MOST_IMAGES])
            yield

    def _add(self, rows: Rows) -> None:
        pairs = max(_JOINED_PER_IMAGE * len(rows), _LEAST_JOINED) * (len(self.store) / len(rows)) ** 2
        reached = self.histograms[0].band_of(pairs, 1.0)
        self._parts.append(SearchedImages(self.store, np.sort(rows), reached.low if reached else -1.0, self._device))
        self._begun.set()

    @property
    def part(self) -> SearchedImages:
        """The largest part that has been searched; waits for the first one.

        Raises:
            MinerError: the search failed.
        """
        self._begun.wait()
        if not self._parts:
            raise MinerError(self._problem)
        return self._parts[-1]

    def _part_for(self, rule: Rule, band: Band) -> SearchedImages:
        """The largest part that can answer at once. A larger one searches below the ceiling of the band meanwhile."""
        part = self.part
        if part is self._parts[0] or part.knows(rule, band.high):
            return part
        idle, self._wanted = self._wanted is None, (rule, band.high)
        if idle:
            threading.Thread(target=self._search_again, args=(part,), daemon=True).start()
        return self._parts[0]

    def _search_again(self, part: SearchedImages) -> None:
        try:
            while (wanted := self._wanted) is not None:
                part.lists(wanted[0].listed, wanted[1])
                if self._wanted == wanted:
                    self._searches, self._wanted = self._searches + 1, None
        except MinerError as error:
            self._problem, self._wanted = str(error), None

    def drawn(self, where: str, rule: Rule, band: Band, value: float, seed: int) -> FoundPairs:
        """A few random pairs, as of `SearchedImages.drawn`."""
        part = self._part_for(rule, band) if where in ("chosen", "left") else self.part
        return part.drawn(where, rule, band, value, seed)

    def progress(self) -> Record:
        """How far the search is. `version` grows with what is known."""
        searched = max((len(part.rows) for part in self._parts), default=0)
        done = searched == min(len(self.store), MOST_IMAGES) and self._wanted is None
        version = len(self.histograms) + _DRAWS * len(self._parts) + self._searches
        return {"searched": searched, "done": done, "version": version, "problem": self._problem}

    def histogram(self) -> list[float]:
        """Pairs of all images in each bin of similarity, from -1 to 1."""
        self._begun.wait()
        found = list(self.histograms)
        sums = sum(histogram.counts * (histogram.scale / len(found)) for histogram in found)
        return [round(float(count), 1) for count in np.atleast_1d(sums)]

    def facts(self, rule: Rule, band: Band) -> Record:
        """The counts of a choice, exact if all images were searched.

        Of a band that begins too low to count, or where only a part of the images is searched, `pairs` is an estimate with its
        95 % `interval`, and nothing else is known.

        Raises:
            MinerError: the rule chooses too many pairs.
        """
        part = self._part_for(rule, band)
        chosen, whole = part.choose(rule, band), len(part.rows) == len(self.store)
        if rule.name == "band" and (chosen is None or not whole):
            return self._estimated(band)
        assert chosen is not None
        facts = rule_facts(chosen, len(part.rows), part.clusters, part.labels)
        made = facts.pop("composition")
        facts["parts"] = self._composition(part, made)
        facts |= {name: made[name] for name in ("effective_share", "largest_share", "tenth_share")}
        lowest, highest = (float(chosen.similarity.min()), float(chosen.similarity.max())) if len(chosen) else (0, 0)
        return facts | {"images": len(part.rows), "exact": whole, "span": [lowest, highest]}

    def _composition(self, part: SearchedImages, made: Record) -> list[Record]:
        """The classes, or the clusters where there are no labels, each with one of its images."""
        by_class = part.labels if made["classes"] else None
        numbers, firsts = np.unique(part.clusters if by_class is None else by_class, return_index=True)
        example = dict(zip(numbers.tolist(), part.rows[firsts].tolist(), strict=True))
        of_parts, names = made["clusters" if by_class is None else "classes"], self.store.manifest.source.classes
        return [
            {
                "name": "" if by_class is None else class_name(number, names),
                "images": images,
                "ends": ends,
                "row": example[number],
            }
            for number, images, ends in zip(of_parts["names"], of_parts["images"], of_parts["ends"], strict=True)
        ]

    def _estimated(self, band: Band) -> Record:
        found = mean_interval([histogram.pairs_in(band) for histogram in list(self.histograms)])
        width = found.half_width
        interval = None if width is None else [max(found.mean - width, 0), found.mean + width]
        right = [share for each in list(self.histograms) if (share := each.precision_in(band)) is not None]
        return {
            "pairs": found.mean,
            "interval": interval,
            "label_precision": float(np.mean(right)) if right else None,
            "images": len(self.store),
            "exact": False,
        }
