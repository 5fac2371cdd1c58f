"""Hard negatives: for each image the most similar ones that no pair joins to it."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import ChosenVectors, Rows
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.pairs.table import read_pairs
from miner.artifacts.workspace import Workspace
from miner.machine.memory import default_bytes

NOBODY = -1


def hard_negatives(workspace: Workspace, pairs: PairsManifest, keys: Sequence[str], count: int) -> Rows:
    """The most similar images that are less similar than the pairs and in another connected component of pairs and duplicates.

    Less similar means below the band; of a rule of neighbours, not above the ceiling of duplicates. Labels are not used. The
    search is exact, so the result does not depend on the machine.

    Args:
        keys: the images to choose from and for, in the order of the embeddings.
        count: negatives per image.
    Returns:
        Places in `keys`, int64 (len(keys), count), the most similar first; `NOBODY` where fewer are left.
    Raises:
        MinerError: the embeddings or a table of pairs is missing or damaged.
    """
    from miner.pairs.neighbours.candidates import ListRule
    from miner.pairs.neighbours.lists import ListSearch
    from miner.pairs.tables.groups import components

    store = EmbeddingStore(workspace)
    place = {key: row for row, key in enumerate(store.keys)}
    rows = np.fromiter((place[key] for key in keys), np.int64)
    tables = [read_pairs(workspace.pairs / name, ("a", "b")) for name in ("pairs.parquet", "duplicates.parquet")]
    left, right = (np.concatenate([table[side].to_numpy() for table in tables]) for side in ("a", "b"))
    group = components(left, right, len(place))[rows]
    band = pairs.request.band
    ceiling = float(np.nextafter(band.low, -np.inf)) if pairs.request.rule == "band" else band.high
    rule = ListRule(ChosenVectors(store.stored, rows), min(count, len(rows) - 1), ceiling, group)
    with TemporaryDirectory(prefix="miner-") as scratch:
        found, _ = ListSearch(rule, default_bytes(), "auto").lists(Path(scratch))
        padding = ((0, 0), (0, count - rule.k))
        return np.pad(np.asarray(found, np.int64), padding, constant_values=NOBODY)
