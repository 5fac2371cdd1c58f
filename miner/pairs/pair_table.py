"""`miner pairs --table`: the pairs of somebody else's table, with their cosines in these embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from miner.artifacts.embeddings.names import NAMES_HELP, images_named
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.foreign_table import as_text, foreign_columns, read_foreign_table
from miner.artifacts.parquet import load_table
from miner.artifacts.stage_folder import GrowingStage
from miner.engine import Record
from miner.errors import MinerError, UsageError
from miner.pairs.append import vectors_seen
from miner.pairs.arithmetic.cosine import rescore
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.constraints import Constraint
from miner.pairs.duplicates import are_duplicates, with_ranks
from miner.pairs.embedding import SearchedEmbedding
from miner.pairs.engines.base import FloodError
from miner.pairs.options import PairsOptions
from miner.pairs.tables.found import FoundPairs
from miner.pairs.tables.write import add_histogram, write_tables
from miner.text import counted

_USUAL_NAMES = (
    *(("key_a", "key_b"), ("path_a", "path_b"), ("image1", "image2"), ("image_1", "image_2")),
    *(("image_a", "image_b"), ("anchor", "positive"), ("a", "b")),
)
_SHOWN = 3


@dataclass(frozen=True)
class ListedPairs:
    """The pairs of a table, each once.

    Attributes:
        a, b: row numbers, a < b, sorted, int64 (m,).
        score: float64 (m,), NaN where the table has none; None without a column of scores.
        record: how many rows the table has, and how many of them were left out, by reason.
    """

    a: Rows
    b: Rows
    score: NDArray[np.float64] | None
    record: Record


def mine_table(
    options: PairsOptions,
    stage: GrowingStage,
    searched: SearchedEmbedding,
    constraints: Sequence[Constraint],
    force: bool,
) -> Record:
    """Write the tables of the pairs that a table lists, and finish the stage; returns the manifest.

    Pairs above the ceiling, and of equal files, are duplicates, as for other rules.
    """
    store, rows = searched.store, searched.rows
    listed = read_listed_pairs(options, store)
    if len(listed.a) > searched.limit:
        raise FloodError(f"The table has more than {searched.limit:,} pairs. Raise --max-pairs, or --memory.")
    stage.begin(force)
    found = FoundPairs(listed.a, listed.b, rescore(searched.vectors, listed.a, listed.b, Threads()))
    found = with_ranks(found, options.mutual_neighbours)
    if listed.score is not None:
        found = found.with_evidence(table_score=listed.score)
    above = are_duplicates(found, searched.band.high, searched.files)
    files, record = write_tables(
        *(options, store, stage.folder, rows, searched.vectors),
        *(found.select(~above), found.select(above), constraints),
    )
    record |= {"images": len(rows), "engine": options.engine, "vectors": vectors_seen(store.manifest), "exact": True}
    record["table"] = listed.record
    add_histogram(record, searched.vectors, store.labels, options.seed, propose=False)
    return stage.finish(record, files)


def read_listed_pairs(options: PairsOptions, store: EmbeddingStore) -> ListedPairs:
    """The pairs of the table of `--table`. Both orders of a pair and repeats are one pair, with the score of the first row.

    Raises:
        UsageError: the columns have to be named, or are not there.
        MinerError: the table cannot be read, or names images that are not embedded.
    """
    path = options.table
    assert path is not None
    names = _columns(options.table_columns, foreign_columns(path, "--table"), path)
    table = read_foreign_table(path, "--table", names)
    if not len(table):
        raise MinerError(f"--table {path} has no rows.")
    sides = [as_text(table[name], f"The column {name} of {path}") for name in names[:2]]
    a, b = _rows(path, sides, store)
    unusable, self_pairs = (a >= len(store)) | (b >= len(store)), a == b
    kept = np.flatnonzero(~unusable & ~self_pairs)
    low, high = np.minimum(a, b)[kept], np.maximum(a, b)[kept]
    _, first = np.unique(low * len(store) + high, return_index=True)
    record = {
        "name": path.name,
        "columns": names,
        "rows": len(table),
        "self_pairs": int((self_pairs & ~unusable).sum()),
        "unusable": int(unusable.sum()),
        "repeats": len(kept) - len(first),
    }
    score = _scores(table[names[2]], path)[kept][first] if len(names) > 2 else None
    return ListedPairs(low[first], high[first], score, record)


def _columns(given: Sequence[str], columns: Sequence[str], path: Path) -> list[str]:
    """The names of both columns of keys, and of that of scores if there is one."""
    usual = next((list(pair) for pair in _USUAL_NAMES if {*pair} <= {*columns}), None)
    found = list(given) or usual
    if found is None or not {*found} <= {*columns}:
        missing = (
            f"none is called {next(name for name in found if name not in columns)}"
            if found
            else "none has a usual name"
        )
        raise UsageError(
            f"--table {path} has the columns {', '.join(columns)[:300]}, and {missing}. Name both images with --table-columns A B, "
            "and a score as a third."
        )
    return found if given or "score" not in columns else [*found, "score"]


def _rows(path: Path, sides: Sequence[pa.Array], store: EmbeddingStore) -> tuple[Rows, Rows]:
    """The rows of both images of each pair; numbers from the number of images on stand for images without a vector."""
    errors = load_table(store.folder / "errors.parquet", ["key", "path"]) if store.manifest.errors else None
    tables = [store.metadata, *([errors] if errors else [])]
    keys, paths = (
        pa.chunked_array([chunk for one in tables for chunk in one[name].chunks], pa.string()).combine_chunks()
        for name in ("key", "path")
    )
    names = pc.unique(pa.chunked_array(sides))
    rows = images_named(names, keys, paths)
    if (unknown := rows < 0).any():
        lost = names.filter(pa.array(unknown))
        there = [pc.is_in(side, value_set=lost).to_numpy(zero_copy_only=False) for side in sides]
        raise MinerError(
            f"--table {path}: {len(lost):,} of {counted(len(names), 'image')} are not embedded, such as "
            f"{', '.join(lost.slice(0, _SHOWN).to_pylist())}; they stand in {int((there[0] | there[1]).sum()):,} of "
            f"{counted(len(there[0]), 'row')}. The first embedded image has the key {keys[0]} and the path {paths[0]}. {NAMES_HELP}"
        )
    a, b = (rows[pc.index_in(side, value_set=names).to_numpy()] for side in sides)
    return a, b


def _scores(column: pa.ChunkedArray, path: Path) -> NDArray[np.float64]:
    try:
        return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
    except pa.ArrowException as error:
        raise MinerError(f"--table {path}: the column of scores holds something that is no number ({error}).") from None
