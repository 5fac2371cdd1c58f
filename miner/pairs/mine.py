"""The work of `miner pairs`: search the vectors of a workspace, and write the tables and the manifest."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import ChosenVectors, Rows, Vectors
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.pairs.rule import Rule
from miner.artifacts.stage_folder import GrowingStage
from miner.artifacts.workspace import Workspace
from miner.engine import Executor, LocalExecutor, Record
from miner.errors import MinerError, UsageError
from miner.machine.executor import executor_for
from miner.machine.memory import default_bytes, parse_bytes
from miner.pairs.append import continued, vectors_seen, with_known
from miner.pairs.band_join import WIDE_BAND, BandJoin
from miner.pairs.constraints import Constraint
from miner.pairs.duplicates import all_duplicates, are_duplicates, file_numbers, with_ranks
from miner.pairs.engines.approximate import ApproximateSearch
from miner.pairs.engines.base import FloodError
from miner.pairs.engines.select import engine_maker, memory_beside
from miner.pairs.engines.tile_search import least_bytes
from miner.pairs.neighbours.candidates import ListRule
from miner.pairs.neighbours.lists import ListSearch
from miner.pairs.options import PairsOptions
from miner.pairs.rules import rule_pairs
from miner.pairs.tables.found import FoundPairs
from miner.pairs.tables.write import add_histogram, write_neighbours, write_tables

_PAIR_BYTES = 200  # of a found pair while the tables are written
_MANY_DUPLICATES = (
    "they count as duplicates. Raise --max, search a part with --sample, take copies of one image out of the source, or raise "
    "--max-pairs."
)
_SPARE_BYTES = 160 << 20  # for the rest of the process


def mine(
    options: PairsOptions,
    workspace: Workspace,
    stage: GrowingStage,
    band: Band,
    constraints: Sequence[Constraint],
    force: bool,
    strip_rows: int,
) -> Record:
    """Search, write the tables, and finish the stage; returns the manifest.

    Args:
        strip_rows: rows of a unit of work; changes no file.
    """
    store = EmbeddingStore(workspace)
    earlier = continued(stage, store.manifest) if options.append and not force else None
    rows = _sampled_rows(options, len(store))
    memory = _memory(options, store, len(rows))
    # An approximate engine runs on the processor, where FAISS uses all cores by itself.
    executor = executor_for(options.engine_address, options.device, process_per_device=not options.approximation())
    vectors = _vectors(store, rows, memory if executor == LocalExecutor() else 0)
    if options.neighbors is not None and options.neighbors >= len(store):
        raise UsageError(f"--neighbors {options.neighbors}: there are only {len(store) - 1} other images.")
    limit = min(options.max_pairs, max(int(memory / _PAIR_BYTES), 1))
    old_images = earlier.vectors["count"] if earlier and earlier.vectors else 0
    rule, equal = options.chosen_rule, file_numbers(store)[rows]
    # A rule leaves out what lies above the ceiling, which is also listed.
    searched = band if rule.name == "band" else Band(band.high, band.high)
    make_engine = engine_maker(options, vectors, searched, memory)
    remedy = WIDE_BAND if rule.name == "band" else _MANY_DUPLICATES
    join = BandJoin(make_engine, vectors, searched, limit, old_images, strip_rows, remedy)
    # All checks are done. From here on an old result may be removed.
    found = _search(join, stage, executor, force, earlier, store, rows)
    if earlier is not None:
        found = with_known(stage.folder, vectors, old_images, found)
    completeness: Record = {"exact": True}
    if isinstance(make_engine, ApproximateSearch):
        completeness = {"exact": False, **make_engine.measured((found.a, found.b))}
    spare = memory_beside(vectors, memory)
    if rule.name == "band":
        found = with_ranks(found, options.mutual_neighbours)
        duplicate = are_duplicates(found, band.high, equal)
        chosen, duplicates = found.select(~duplicate), found.select(duplicate)
    else:
        duplicates = with_ranks(all_duplicates(found, band.high, equal, vectors), rule.neighbors)
        search = ListSearch(
            ListRule(vectors, min(rule.listed, len(rows) - 1), band.high, equal), memory, options.device, strip_rows
        )
        chosen = _chosen(rule, search, stage, executor, limit)
    chosen, duplicates = (replace(pairs, a=rows[pairs.a], b=rows[pairs.b]) for pairs in (chosen, duplicates))
    files, record = write_tables(options, store, stage.folder, rows, chosen, duplicates, constraints)
    record |= {"images": len(rows), "engine": options.engine, "vectors": vectors_seen(store.manifest)}
    record |= completeness
    labels = None if store.labels is None else store.labels[rows]
    add_histogram(record, vectors, labels, options.seed, propose=rule.name == "band")
    if rule.name == "band" and options.neighbors is not None:
        whole = vectors if len(rows) == len(store) else store.stored
        graph, record["neighbours"] = write_neighbours(options, stage.folder, whole, store.keys, spare, executor)
        files += graph
    return stage.finish(record, files)


def _chosen(rule: Rule, search: ListSearch, stage: GrowingStage, executor: Executor, limit: int) -> FoundPairs:
    """The pairs of a rule on neighbour lists. If there are too many pairs, the folder is empty again.

    Raises:
        FloodError: the rule chooses more pairs than the limit.
    """
    ids, cosines = search.lists(stage.folder / "parts", executor)
    try:
        return rule_pairs(rule, ids, cosines, limit)
    except FloodError:
        stage.discard()
        raise


def _search(
    join: BandJoin,
    stage: GrowingStage,
    executor: Executor,
    force: bool,
    earlier: PairsManifest | None,
    store: EmbeddingStore,
    rows: Rows,
) -> FoundPairs:
    """The pairs of the join. If there are too many pairs, the earlier result is restored.

    Args:
        rows: the rows of the store that the join searches.
    Raises:
        MinerError: the band holds more pairs than the limit.
    """
    parts = stage.folder / "parts"
    if earlier is None:
        stage.begin(force)
    else:
        stage.begin_growth(earlier)
    try:
        return join.run(parts, executor)
    except FloodError as flood:
        if earlier is None:
            stage.discard()
        else:
            stage.give_up_growth(earlier)
        keys = store.keys
        densest = ", ".join(f"{keys[rows[row]]} ({count:,})" for row, count in flood.densest)
        raise MinerError(f"{flood} The images with most partners there: {densest}.") from None


def _memory(options: PairsOptions, store: EmbeddingStore, images: int) -> int:
    """Bytes for the search itself.

    Raises:
        MinerError: --memory, or the free memory, is too small for so many images.
    """
    beside: int = _SPARE_BYTES + 2 * store.metadata.nbytes
    wanted = default_bytes() if options.memory is None else parse_bytes(options.memory)
    least: int = beside + least_bytes(images, store.stored.dim)
    if options.engine == "exact" and wanted < least:
        raise MinerError(
            f"{'The free memory' if options.memory is None else f'--memory {options.memory}'} is too small to search "
            f"{images:,} vectors of {store.stored.dim} dimensions: that takes at least {-(-least // 10**6):,} MB. Give more, or "
            "mine a part with --sample."
        )
    return wanted - beside


def _sampled_rows(options: PairsOptions, images: int) -> Rows:
    """Rows to search, ascending.

    Raises:
        MinerError: the sample has fewer than two images.
    """
    if options.sample is None:
        return np.arange(images)
    if options.sample > 1 and options.sample != round(options.sample):
        raise UsageError(f"--sample {options.sample}: give a fraction up to 1, or a whole number of images.")
    count = round(options.sample * images) if options.sample <= 1 else round(options.sample)
    if min(count, images) < 2:
        raise MinerError(f"--sample {options.sample} of {images:,} images leaves {count}; a pair needs two.")
    return np.sort(np.random.default_rng(options.seed).permutation(images)[:count])


def _vectors(store: EmbeddingStore, rows: Rows, memory: float) -> Vectors:
    """The vectors to search: in memory if they fit as stored and in float32 with a quarter to spare, else on disk."""
    stored = store.stored
    row_bytes = stored.dim * (stored.dtype.itemsize + 4) * 5 // 4
    whole = stored.mapped() if len(stored) * row_bytes < memory else stored
    return whole if len(rows) == len(store) else ChosenVectors(whole, rows)
