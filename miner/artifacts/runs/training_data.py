"""The images and the pairs of a run, opened."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from miner.artifacts.embeddings.verified import VerifiedSource
from miner.artifacts.pairs.selection import capped
from miner.artifacts.pairs.table import read_pairs
from miner.artifacts.parquet import read_columns
from miner.artifacts.runs.inputs import Inputs
from miner.errors import MinerError
from miner.source import Entry, Source, open_source
from miner.text import counted


def open_images(inputs: Inputs) -> tuple[Source, list[Entry]]:
    """The source and its usable entries, in its order.

    Raises:
        MinerError: the source cannot be opened, or is no longer what was embedded.
    """
    source: Source
    if inputs.shards is not None:
        source = inputs.shards.image_source(Path(inputs.location))
    else:
        source = inputs.source.open() if inputs.source else open_source(inputs.location)
    if inputs.usable is None:
        return source, list(source.entries)
    made_by = "miner export" if inputs.origin == "shards" else "miner embed SOURCE"
    tables = [read_columns(path, ["key", "sha256"], made_by) for path in inputs.usable]
    keys = {key for table in tables for key in table["key"].to_pylist()}
    entries = [entry for entry in source.entries if entry.key in keys]
    if len(entries) != len(keys):
        raise MinerError(
            f"{len(keys) - len(entries):,} of the {counted(len(keys), 'embedded image')} are no longer in "
            f"{inputs.spec}. If they were "
            "moved, run `miner embed` with their new place. Else put them back, or run `miner embed` again with --force."
        )
    return VerifiedSource(source, tables), entries


def pair_rows(inputs: Inputs, keys: list[str], limit: int | None = None, per_image: int | None = None) -> Tensor:
    """The pairs of a run, as rows of its images.

    Args:
        inputs: that name the file of pairs.
        keys: the keys of all images, in the order of their rows.
        limit: pairs among the first so many images only.
        per_image: how many pairs of one image are kept at most, the most similar ones.
    Returns:
        int64 (pairs, 2).
    Raises:
        MinerError: a pair names an unknown image, an image is paired with itself, or no pair is left.
    """
    if inputs.pairs is None:
        return torch.zeros(0, 2, dtype=torch.long)
    made_by = "miner export" if inputs.origin == "shards" else "miner pairs"
    table = read_pairs(inputs.pairs, ["key_a", "key_b", "similarity"], made_by=made_by)
    all_keys = pa.array(keys)
    rows = torch.stack([_positions(table[name], all_keys, inputs.pairs) for name in ("key_a", "key_b")], dim=1)
    if bool((rows[:, 0] == rows[:, 1]).any()):
        raise MinerError(f"{inputs.pairs} pairs an image with itself. Run `miner pairs --force` again.")
    similarity = torch.tensor(table["similarity"].to_numpy())
    if limit is not None:
        kept = (rows < limit).all(dim=1)
        rows, similarity = rows[kept], similarity[kept]
    if len(rows) == 0:
        among = f" among the first {limit:,} images" if limit is not None else ""
        raise MinerError(
            f"There are no pairs{among} in {inputs.pairs}. Take nearest neighbours with `miner pairs --rule mutual --force` (and "
            "`miner export --force`), or train without pairs: --pairs-arm none."
        )
    if per_image is not None:
        a, b = rows.numpy().T
        rows = rows[torch.from_numpy(capped(a, b, similarity.numpy(), per_image))]
    return rows


def pair_scores(inputs: Inputs, keys: list[str], rows: Tensor, by: str) -> Tensor:
    """What `miner pairs` says of pairs that `pair_rows` has given, float64 (pairs,).

    Args:
        by: `similarity`; `votes`, of embeddings that agree; or `score`, which the rule compared with its threshold, or which came
            with a table of pairs (the similarity, if the rule has none).
    Raises:
        MinerError: the pairs have no votes.
    """
    assert inputs.pairs is not None
    table = read_pairs(inputs.pairs, ["key_a", "key_b", "similarity"], evidence=True)
    of_rule = [name for name in ("shared", "local", "table_score") if name in table.column_names]
    name = {"score": [*of_rule, "similarity"][0]}.get(by, by)
    if name not in table.column_names:
        raise MinerError(
            f"{inputs.pairs} has no {name}: `miner pairs --agree` gives them. Use --pair-weights similarity, or score."
        )
    a, b = (_positions(table[key], pa.array(keys), inputs.pairs) for key in ("key_a", "key_b"))
    numbers, order = (a * len(keys) + b).sort()
    scores = torch.tensor(table[name].to_numpy()).double()
    return scores[order[torch.searchsorted(numbers, rows[:, 0] * len(keys) + rows[:, 1])]]


def _positions(column: pa.ChunkedArray, keys: pa.Array, path: Path) -> Tensor:
    positions = pc.index_in(column.combine_chunks(), value_set=keys)
    if positions.null_count:
        unknown = column.combine_chunks().filter(pc.is_null(positions))[0].as_py()
        raise MinerError(f"{path} names the image {unknown!r}, which is not there. Run `miner pairs --force` again.")
    return torch.from_numpy(positions.to_numpy().astype("int64"))
