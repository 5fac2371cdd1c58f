"""The pairs under review: their images, their similarity, and their slice."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from miner.artifacts.decisions import Pair
from miner.artifacts.embeddings.images import class_name
from miner.artifacts.embeddings.manifest import EmbeddingsManifest, SourceRecord
from miner.artifacts.embeddings.store import read_metadata
from miner.artifacts.leaks import LEAKS_TABLE, LeaksManifest, SeveralSets, set_key
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.pairs.table import one_order, read_pairs
from miner.artifacts.parquet import load_table
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.review.estimation.sampling import Indices, slice_edges, slice_numbers

_SCORES = ("votes", "local", "shared")


@dataclass(frozen=True)
class PairSet:
    """All pairs of a workspace, each once, in the order of `pairs.parquet`.

    Attributes:
        a, b: rows of the images, int64 (n,), ascending by (a, b).
        similarity: cosine of each pair, float32 (n,).
        sliced_by: the column that the slices cut: the score of the rule, or else `similarity`.
        edges: edges of the slices, float64 (slices + 1,).
        numbers: slice of each pair, int64 (n,).
        images: metadata of all images, one row per image.
        source: of the images; of several sets for the leaks of `miner leaks`.
        classes: names of the labels; None without labels.
        evidence: columns of `pairs.parquet` that say why a pair is one, beside its images, (n,) each.
        mined: the record of `miner pairs`; None of leaks.
        identity: fingerprint of the files of pairs.
    """

    a: Indices
    b: Indices
    similarity: NDArray[np.float32]
    sliced_by: str
    edges: NDArray[np.float64]
    numbers: Indices
    images: pa.Table
    source: SourceRecord | SeveralSets
    classes: list[str] | None
    identity: str
    evidence: pa.Table
    mined: PairsManifest | None = None

    def __len__(self) -> int:
        return len(self.a)

    def keys(self, pair: int) -> Pair:
        """Keys of both images of a pair."""
        column = self.images["key"]
        return column[int(self.a[pair])].as_py(), column[int(self.b[pair])].as_py()

    def slice(self, pair: int) -> list[float]:
        """Edges of the slice of a pair."""
        number = int(self.numbers[pair])
        return [round(float(edge), 6) for edge in self.edges[number : number + 2]]

    def sizes(self) -> list[int]:
        """Number of pairs of each slice."""
        return np.bincount(self.numbers, minlength=len(self.edges) - 1).tolist()  # type: ignore[no-any-return]

    def labels(self, pair: int) -> list[str | None]:
        """Class names of both images of a pair; None for an image without a label."""
        rows = [self.images["label"][int(side[pair])].as_py() for side in (self.a, self.b)]
        return [None if label is None else class_name(label, self.classes) for label in rows]

    def find(self, pairs: Iterable[Pair]) -> list[int | None]:
        """The number of each pair, given by its keys in either order; None for a pair outside this set."""
        wanted = list(pairs)
        keys = self.images["key"].combine_chunks()
        rows = [
            pc.fill_null(pc.index_in(pa.array([pair[side] for pair in wanted], pa.string()), keys), -1).to_numpy()
            for side in (0, 1)
        ]
        count = len(self.images)
        low, high = np.minimum(*rows).astype(np.int64), np.maximum(*rows).astype(np.int64)
        codes, all_codes = low * count + high, self.a * count + self.b
        places = np.minimum(np.searchsorted(all_codes, codes), len(all_codes) - 1)
        found = (low >= 0) & (all_codes[places] == codes)
        return [int(place) if known else None for place, known in zip(places, found, strict=True)]


def read_pair_set(workspace: Workspace, slices: int) -> PairSet:
    """The pairs of a workspace, cut into slices of equal width over the score of their rule, or over their similarity.

    In the workspace of `miner leaks` they are the leaks of which pixels differ: equal ones need no judgement.

    Raises:
        MinerError: embeddings or pairs are missing, damaged, do not belong together, or there is no pair.
    """
    if leaks := LeaksManifest.find(workspace):
        return _leaks(workspace, leaks, slices)
    embeddings = EmbeddingsManifest.read(workspace)
    mined = PairsManifest.read(workspace, of=embeddings)
    images = read_metadata(workspace.embeddings, embeddings.blocks)
    path = workspace.pairs / "pairs.parquet"
    table = _table(path, len(images))
    a, b, similarity = (table[name].to_numpy() for name in ("a", "b", "similarity"))
    if not len(a):
        raise MinerError(f"{path} holds no pair to review. Mine a wider band with `miner pairs`.")
    scores = (name for name in _SCORES if name in table.column_names and len(table[name].unique()) > 1)
    score = next(scores, "similarity")
    values = table[score].to_numpy().astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if score == "similarity":  # the table rounds it
        low, high = max(mined.request.band.low, low), min(mined.request.band.high, high)
    edges = slice_edges(low, high, slices)
    numbers, source = slice_numbers(values, edges), embeddings.source
    classes, identity = source.classes, mined.identity
    return PairSet(a, b, similarity, score, edges, numbers, images, source, classes, identity, table, mined)


def _leaks(workspace: Workspace, leaks: LeaksManifest, slices: int) -> PairSet:
    table = load_table(leaks.checked(LeaksManifest.path(workspace).parent, LEAKS_TABLE))
    table = table.filter(pc.is_in(table["kind"], pa.array(["near", "scene"])))
    if not len(table):
        raise MinerError(
            f"All leaks in {workspace.root} are of equal pixels, or there is none: nothing needs a judgement."
        )
    numbers = [np.asarray(table[f"set_{side}"].to_numpy(), np.int64) for side in "ab"]
    columns = {
        name: [value for side in "ab" for value in table[f"{name}_{side}"].to_pylist()]
        for name in ("key", "path", "sha256")
    }
    columns["key"] = [*map(set_key, np.concatenate(numbers).tolist(), columns["key"])]
    first, ends = np.unique(columns["key"], return_index=True, return_inverse=True)[1:]
    images = pa.table({**columns, "label": pa.nulls(len(ends), pa.int32())}).take(pa.array(first))
    a, b = np.sort(ends.reshape(2, -1), axis=0)  # keys begin with the number of their set
    order = np.lexsort((b, a))
    similarity = table["similarity"].to_numpy()[order]
    edges = slice_edges(float(similarity.min()), float(similarity.max()), slices)
    source = SeveralSets([each.source for each in leaks.sets])
    numbers_of_slices, sides = slice_numbers(similarity, edges), (a[order], b[order])
    return PairSet(
        *sides, similarity, "similarity", edges, numbers_of_slices, images, source, None, leaks.identity, table
    )


def _table(path: Path, images: int) -> pa.Table:
    table = one_order(read_pairs(path, ("a", "b", "similarity", "mutual"), evidence=True))
    a, b = (table[name].to_numpy() for name in ("a", "b"))
    if len(a) and not (a.min() >= 0 and b.max() < images and (np.diff(a * images + b) > 0).all()):
        raise MinerError(f"{path} is damaged: its rows are not in order. Run `miner pairs --force` again.")
    return table
