"""One embedding of the images that are searched: its vectors, its ceiling, and which pairs a rule chooses in it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import ChosenVectors, Rows, Vectors
from miner.artifacts.pairs.band import Band
from miner.engine import Executor, LocalExecutor
from miner.errors import MinerError
from miner.machine.memory import default_bytes, parse_bytes
from miner.pairs.band_join import WIDE_BAND, BandJoin
from miner.pairs.duplicates import all_duplicates, are_duplicates, with_ranks
from miner.pairs.engines.select import engine_maker, memory_beside
from miner.pairs.engines.tile_search import least_bytes
from miner.pairs.neighbours.approximate import ApproximateLists
from miner.pairs.neighbours.candidates import ListRule, Lists
from miner.pairs.neighbours.lists import ListSearch
from miner.pairs.options import PairsOptions
from miner.pairs.rules import rule_pairs, with_evidence
from miner.pairs.tables.found import FoundPairs
from miner.text import counted

_PAIR_BYTES = 200  # of a found pair while the tables are written
_MANY_DUPLICATES = (
    "they count as duplicates. Raise --max, search a part with --sample, take copies of one image out of the source, or raise "
    "--max-pairs."
)
_SPARE_BYTES = 160 << 20  # for the rest of the process


@dataclass(frozen=True)
class Choice:
    """What a rule chooses in one embedding.

    Attributes:
        pairs: sorted, with the evidence of the rule.
        duplicates: sorted.
        with_evidence: gives any pairs the evidence that `pairs` have.
    """

    pairs: FoundPairs
    duplicates: FoundPairs
    with_evidence: Callable[[FoundPairs], FoundPairs]


@dataclass(frozen=True)
class SearchedEmbedding:
    """The images that are searched, in one embedding. Its pairs have the numbers of the images in this order.

    Attributes:
        rows: of the store, by image.
        files: a number for each image, the same for files with the same bytes.
        strip_rows: rows of a unit of work; changes no pair.
    """

    options: PairsOptions
    store: EmbeddingStore
    rows: Rows
    files: Rows
    band: Band
    executor: Executor
    strip_rows: int

    @cached_property
    def memory(self) -> int:
        """Bytes for the search itself; raises the error of `search_bytes`."""
        return search_bytes(self.options, len(self.rows), self.store.stored.dim, 2 * self.store.metadata.nbytes)

    @cached_property
    def vectors(self) -> Vectors:
        """In memory if they fit as stored and in float32 with a quarter to spare, else on disk."""
        stored, memory = self.store.stored, self.memory if self.executor == LocalExecutor() else 0
        whole = stored.mapped() if fit_in_memory(memory, stored) else stored
        return whole if np.array_equal(self.rows, np.arange(len(stored))) else ChosenVectors(whole, self.rows)

    @property
    def spare_memory(self) -> float:
        """Bytes beside the vectors."""
        return memory_beside(self.vectors, self.memory)

    @cached_property
    def limit(self) -> int:
        """The most pairs to accept."""
        return most_pairs(self.options, self.memory)

    def join(self, old_images: int = 0) -> BandJoin:
        """The join of the band. Of a rule on lists it finds the duplicates, which the rule leaves out and a table lists."""
        of_a_band = self.options.chosen_rule.name == "band"
        band = self.band if of_a_band else Band(self.band.high, self.band.high)
        engine = self.approximate_lists or engine_maker(self.options, self.vectors, band, self.memory)
        remedy = WIDE_BAND if of_a_band else _MANY_DUPLICATES
        return BandJoin(engine, self.vectors, band, self.limit, old_images, self.strip_rows, remedy)

    @cached_property
    def approximate_lists(self) -> ApproximateLists | None:
        """What finds the neighbours and the duplicates of a rule on lists, if it may miss some."""
        rule = self.options.chosen_rule
        if rule.name == "band" or not self.options.approximation():
            return None
        return ApproximateLists(self.options, self._list_rule(rule.listed))

    def _list_rule(self, k: int, known: Path | None = None) -> ListRule:
        return ListRule(self.vectors, min(k, len(self.rows) - 1), self.band.high, self.files, known)

    def lists(self, k: int, parts: Path, known: Path | None = None) -> Lists:
        """The k nearest of each image below the ceiling, or all other images if there are fewer; paths as of `choose`."""
        source = self.approximate_lists.source if self.approximate_lists else None
        rule = self._list_rule(k, known)
        search = ListSearch(rule, self.spare_memory, self.options.device, self.strip_rows, source)
        return search.lists(parts, self.executor)

    def choose(self, found: FoundPairs, parts: Path, known: Path | None = None) -> Choice:
        """What the rule chooses.

        Args:
            found: all pairs of the join.
            parts: folder of finished strips; of a rule on lists, their ids are in its file `ids.npy` afterwards.
            known: file of the lists of the first images.
        Raises:
            FloodError: the rule chooses more pairs than the limit.
        """
        rule, high, k = self.options.chosen_rule, self.band.high, self.options.mutual_neighbours
        if rule.name == "band":
            found = with_ranks(found, k)
            duplicate = are_duplicates(found, high, self.files)
            pairs = found.select(~duplicate)
            return Choice(pairs, found.select(duplicate), partial(_mutual_where_found, pairs, len(self.rows)))
        duplicates = with_ranks(all_duplicates(found, high, self.files, self.vectors), k)
        ids, cosines = self.lists(rule.listed, parts, known)
        pairs = rule_pairs(rule, ids, cosines, self.limit)
        return Choice(pairs, duplicates, partial(with_evidence, rule, ids, cosines))


def search_bytes(
    options: PairsOptions, images: int, dim: int, tables_bytes: int, remedy: str = ", or mine a part with --sample"
) -> int:
    """Bytes for a search of so many vectors, beside tables and the rest of the process.

    Raises:
        MinerError: --memory, or the free memory, is too small for so many images.
    """
    given, beside = options.memory, _SPARE_BYTES + tables_bytes
    wanted = default_bytes() if given is None else parse_bytes(given)
    least = beside + least_bytes(images, dim)
    if options.engine == "exact" and wanted < least:
        raise MinerError(
            f"{'The free memory' if given is None else f'--memory {given}'} is too small to search {counted(images, 'vector')} of "
            f"{dim} dimensions: that takes at least {-(-least // 10**6):,} MB. Give more{remedy}."
        )
    return wanted - beside


def fit_in_memory(memory_bytes: float, *sets: Vectors) -> bool:
    """Whether the vectors fit as stored and in float32, with a quarter to spare."""
    return sum(len(stored) * (stored.dim * (stored.dtype.itemsize + 4) * 5 // 4) for stored in sets) < memory_bytes


def most_pairs(options: PairsOptions, memory_bytes: float) -> int:
    """The most pairs to accept."""
    return min(options.max_pairs, max(int(memory_bytes / _PAIR_BYTES), 1))


def _mutual_where_found(found: FoundPairs, images: int, pairs: FoundPairs) -> FoundPairs:
    """Pairs with `mutual` as in the pairs that a band holds; False for other pairs."""
    mutual = found.select(np.asarray(found.evidence["mutual"], bool))
    return pairs.with_evidence(mutual=np.isin(pairs.numbers(images), mutual.numbers(images)))
