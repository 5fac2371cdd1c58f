"""The tables of leaks: every pair with its group, the images to remove from each set, and a sentence for a data set card."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from miner import __version__
from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.leaks import LEAKS_TABLE
from miner.artifacts.parquet import save_table
from miner.engine import committed, write_bytes
from miner.leaks.matches import AllImages, Matches
from miner.leaks.options import KINDS
from miner.leaks.sets import OpenedSet
from miner.pairs.tables.groups import components
from miner.text import counted

LEAKS_CSV = "leaks.csv"
IN_WORDS = {
    "bytes": "the same bytes",
    "pixels": "the same pixels",
    "near": "nearly the same pixels",
    "scene": "the same scene",
}
_FORMULA = tuple("=+-@\t\r")  # a spreadsheet takes a text that begins with one of these for a formula


def groups_of(matches: Matches) -> Rows:
    """The group of each pair, from 1, in the order of the first pairs: images that pairs connect belong together."""
    rows, ends = np.unique(np.concatenate([matches["a"], matches["b"]]), return_inverse=True)
    left, right = ends[: len(matches)].astype(np.int64), ends[len(matches) :].astype(np.int64)
    roots = components(left, right, len(rows))[left]
    _, first, inverse = np.unique(roots, return_index=True, return_inverse=True)
    numbers = np.empty(len(first), np.int64)
    numbers[np.argsort(first)] = np.arange(1, len(first) + 1)
    return numbers[inverse]


def leak_table(images: AllImages, matches: Matches, groups: Rows) -> pa.Table:
    """A row per pair, by group."""
    order = np.lexsort((matches["b"], matches["a"], groups))
    chosen = matches[order]
    columns: dict[str, pa.Array | NDArray[np.generic]] = {
        "group": groups[order],
        "kind": pa.array([KINDS[kind] for kind in chosen["kind"].tolist()], pa.string()),
    }
    for side in "ab":
        rows = images.table.take(pa.array(chosen[side]))
        columns[f"set_{side}"] = images.number[chosen[side]] + 1
        columns |= {f"{name}_{side}": rows[name] for name in ("key", "path", "label", "sha256")}
    for name in ("similarity", "correlation", "share"):
        columns[name] = pa.array(chosen[name].astype(np.float32), from_pandas=True)
    aligned = np.isfinite(chosen["correlation"])
    columns["mirrored"] = pa.array(chosen["orientation"] >= 4, mask=~aligned)
    columns["turned"] = pa.array(chosen["orientation"] % 4 * 90, mask=~aligned)
    return pa.table(columns)


def write_leaks(folder: Path, table: pa.Table, images: AllImages, matches: Matches) -> list[Path]:
    """Write the table twice, and the lists of the images to remove; returns the files."""
    files = [folder / LEAKS_TABLE, folder / LEAKS_CSV]
    with committed(files[0]) as partial:
        save_table(table, partial, "zstd")
    harmless = pa.table({name: _harmless(table[name]) for name in table.column_names})
    with committed(files[1]) as partial, partial.open("wb") as stream:
        pacsv.write_csv(harmless, stream)
    for number, rows in enumerate(to_remove(images, matches)[:-1], 1):
        chosen = images.table.take(pa.array(rows))
        for name, column in ((f"remove-{number}.txt", "key"), (f"remove-{number}-paths.txt", "path")):
            files.append(folder / name)
            write_bytes(files[-1], "".join(f"{text}\n" for text in chosen[column].to_pylist()).encode())
    return files


def to_remove(images: AllImages, matches: Matches) -> list[Rows]:
    """The images of each set that a later set holds, ascending rows of the table; none of the last set."""
    rows = np.unique(matches["a"])
    return [rows[images.number[rows] == number] for number in range(len(images.sets))]


def _harmless(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts of a spreadsheet, none of which is a formula."""
    if not pa.types.is_string(column.type):
        return column
    texts = [f"'{text}" if text and text.startswith(_FORMULA) else text for text in column.to_pylist()]
    return pa.chunked_array([texts], pa.string())


def sentence(sets: Sequence[OpenedSet], counts: Sequence[int], kinds: dict[str, int], how: str) -> str:
    """What a data set card says about leaks.

    Args:
        counts: images to remove from each set.
        kinds: pairs of each kind.
        how: the encoder and its ceiling.
    """
    names = [f"`{each.name}`" for each in sets]
    later = names[-1] if len(sets) == 2 else "a later set"
    by = f"Compared by miner {__version__} ({how})."
    if not sum(counts):
        return f"No image of {' or '.join(names[:-1])} was found in {later}. {by}"
    shares = " and ".join(
        f"{count:,} of the {counted(len(each.images), 'image')} of {name} ({count / len(each.images):.2%})"
        for each, name, count in zip(sets[:-1], names, counts, strict=False)
    )
    found = ", ".join(f"{count:,} of {IN_WORDS[kind]}" for kind, count in kinds.items() if count)
    return f"{shares} {'is' if sum(counts) == 1 else 'are'} also in {later}; pairs: {found}. {by}"
