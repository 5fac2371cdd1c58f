"""The work of `miner pairs`: search the vectors of a workspace, and write the tables and the manifest."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.manifest import LISTS, PairsManifest
from miner.artifacts.stage_folder import GrowingStage
from miner.artifacts.workspace import Workspace
from miner.engine import Record
from miner.errors import MinerError, UsageError
from miner.machine.executor import executor_for
from miner.pairs.agreement import OtherEmbedding, agreed
from miner.pairs.append import continued, known_lists, vectors_seen, with_known
from miner.pairs.constraints import Constraint
from miner.pairs.duplicates import file_numbers
from miner.pairs.embedding import SearchedEmbedding
from miner.pairs.engines.approximate import ApproximateSearch
from miner.pairs.engines.base import FloodError
from miner.pairs.neighbours.approximate import ApproximateLists
from miner.pairs.options import PairsOptions
from miner.pairs.pair_table import mine_table
from miner.pairs.tables.write import add_histogram, write_neighbours, write_tables
from miner.text import counted


def mine(
    options: PairsOptions,
    workspace: Workspace,
    stage: GrowingStage,
    band: Band,
    constraints: Sequence[Constraint],
    others: Sequence[OtherEmbedding],
    force: bool,
    strip_rows: int,
) -> Record:
    """Search, write the tables, and finish the stage; returns the manifest.

    Args:
        others: embeddings that vote beside that of the workspace.
        strip_rows: rows of a unit of work; changes no file.
    """
    store = EmbeddingStore(workspace)
    earlier = continued(stage, store.manifest) if (options.append or stage.growing) and not force else None
    rows = _sampled_rows(options, len(store))
    # An approximate engine runs on the processor, where FAISS uses all cores by itself.
    executor = executor_for(options.engine_address, options.device, process_per_device=not options.approximation())
    searched = SearchedEmbedding(options, store, rows, file_numbers(store)[rows], band, executor, strip_rows)
    if options.table is not None:
        return mine_table(options, stage, searched, constraints, force)
    if options.neighbors is not None and options.neighbors >= len(store):
        raise UsageError(f"--neighbors {options.neighbors}: there are only {counted(len(store) - 1, 'other image')}.")
    old_images = earlier.vectors["count"] if earlier and earlier.vectors else 0
    embeddings = [searched, *(other.opened(searched) for other in others)]
    join = searched.join(old_images)
    known = known_lists(stage.folder, earlier) if earlier else None
    # All checks are done. From here on an old result may be removed.
    if earlier is None:
        stage.begin(force)
    else:
        stage.begin_growth(earlier)
    try:
        found = join.run(stage.folder / "parts", executor)
        if earlier is not None:
            found = with_known(stage.folder, join, found)
        choice = searched.choose(found, stage.folder / "parts", known)
        pairs, agreement = choice.pairs, None
        if others:
            pairs, agreement = agreed(options, choice, embeddings, stage.folder / "parts")
    except FloodError as flood:
        raise _undone(flood, stage, earlier, searched) from None
    completeness: Record = {"exact": True}
    if isinstance(join.engine, ApproximateLists):
        ids = np.load(stage.folder / "parts" / "ids.npy", mmap_mode="r")
        completeness = {"exact": False, **join.engine.measured_lists(ids)}
    elif isinstance(join.engine, ApproximateSearch):
        completeness = {"exact": False, **join.engine.measured((found.a, found.b))}
    pairs, duplicates = (replace(some, a=rows[some.a], b=rows[some.b]) for some in (pairs, choice.duplicates))
    files, record = write_tables(options, store, stage.folder, rows, searched.vectors, pairs, duplicates, constraints)
    record |= {"images": len(rows), "engine": options.engine, "vectors": vectors_seen(store.manifest)}
    record |= completeness
    if agreement:
        record["agreement"] |= agreement
    labels, of_a_band = None if store.labels is None else store.labels[rows], options.chosen_rule.name == "band"
    add_histogram(record, searched.vectors, labels, options.seed, propose=of_a_band)
    if of_a_band and options.neighbors is not None:
        whole = searched.vectors if len(rows) == len(store) else store.stored
        graph, record["neighbours"] = write_neighbours(
            options, stage.folder, whole, store.keys, searched.spare_memory, executor, known
        )
        files += graph
    if not of_a_band and options.can_grow:
        files.append(stage.folder / LISTS)
        (stage.folder / "parts" / "ids.npy").replace(files[-1])
    return stage.finish(record, files)


def _undone(
    flood: FloodError, stage: GrowingStage, earlier: PairsManifest | None, searched: SearchedEmbedding
) -> MinerError:
    """Restore the earlier result, or empty the folder; returns what to say about the flood."""
    if earlier is None:
        stage.discard()
    else:
        stage.give_up_growth(earlier)
    keys = searched.store.keys
    densest = ", ".join(f"{keys[searched.rows[row]]} ({count:,})" for row, count in flood.densest)
    return MinerError(f"{flood} The images with most partners there: {densest}." if densest else str(flood))


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
        raise MinerError(f"--sample {options.sample} of {counted(images, 'image')} leaves {count}; a pair needs two.")
    return np.sort(np.random.default_rng(options.seed).permutation(images)[:count])
