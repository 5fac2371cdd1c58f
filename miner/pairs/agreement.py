"""Agreement: pairs that a rule chooses in several embeddings of the same images, by other encoders, seeds or checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pyarrow import compute as pc

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.pairs.band import Band
from miner.artifacts.workspace import Workspace
from miner.engine import Record
from miner.errors import MinerError
from miner.pairs.arithmetic.cosine import rescore
from miner.pairs.embedding import Choice, SearchedEmbedding
from miner.pairs.engines.base import FloodError
from miner.pairs.filters import kept_by, rule_filters
from miner.pairs.options import PairsOptions
from miner.pairs.tables.found import FoundPairs
from miner.text import counted

_SHOWN = 5  # images of a mismatch


@dataclass(frozen=True)
class OtherEmbedding:
    """An embedding of the same images in another workspace, and the band there."""

    workspace: Workspace
    manifest: EmbeddingsManifest
    band: Band

    def record(self) -> Record:
        """What decides its votes."""
        return {"embeddings": self.manifest.identity, "band": self.band.record()}

    def opened(self, searched: SearchedEmbedding) -> SearchedEmbedding:
        """The same images to search, in this embedding.

        Raises:
            MinerError: it does not hold the same images.
        """
        store = EmbeddingStore(self.workspace)
        return replace(searched, store=store, rows=matched_rows(searched.store, store)[searched.rows], band=self.band)


def matched_rows(store: EmbeddingStore, other: EmbeddingStore) -> Rows:
    """The row in another store of each image of a store, matched by key, int64 (n,).

    Raises:
        MinerError: an image is in one of them only, or its bytes differ.
    """
    here, there = (each.metadata["key"].combine_chunks() for each in (store, other))
    places = pc.index_in(here, value_set=there)
    parts = [
        f"{two.folder} lacks {counted(len(keys), 'image')} of {one.folder} ({', '.join(keys[:_SHOWN].to_pylist())})"
        for keys, one, two in (
            (here.filter(pc.is_null(places)), store, other),
            (there.filter(pc.is_null(pc.index_in(there, value_set=here))), other, store),
        )
        if len(keys)
    ]
    if parts:
        raise MinerError(
            f"--agree needs the same images: {'; '.join(parts)}. Embed the same source in both workspaces."
        )
    rows = np.asarray(places.to_numpy(), np.int64)
    changed = pc.not_equal(store.metadata["sha256"], other.metadata["sha256"].take(places)).fill_null(False).to_numpy()
    if changed.any():
        path = store.metadata["path"][int(np.flatnonzero(changed)[0])]
        raise MinerError(
            f"--agree needs the same images: {other.folder} has other bytes of {counted(int(changed.sum()), 'image')} of "
            f"{store.folder}, such as {path}. Embed the same source in both workspaces."
        )
    return rows


def agreed(
    options: PairsOptions, choice: Choice, embeddings: Sequence[SearchedEmbedding], parts: Path
) -> tuple[FoundPairs, Record]:
    """The pairs that the rule chooses in at least `--at-least` of the embeddings, and how many it chooses in each.

    A pair that counts as a duplicate in the first embedding is left out. `--min` of a rule on lists, and `--mutual`, are
    part of the rule.

    Args:
        choice: in the first embedding.
        parts: folder of finished strips.
    Returns:
        The pairs, sorted, with their cosines and evidence in the first embedding, the number of `votes`, and the cosine
        in each further one: `similarity_2`, `similarity_3` and so on.
    Raises:
        FloodError: the rule chooses more pairs than the limit in one of them.
    """
    first, images = embeddings[0], len(embeddings[0].rows)
    chosen = [
        choice.pairs,
        *(_chosen(other, parts / f"agree-{place}") for place, other in enumerate(embeddings[1:], 2)),
    ]
    chosen = [pairs.select(kept_by(rule_filters(options), pairs)) for pairs in chosen]
    numbers, votes = np.unique(np.concatenate([pairs.numbers(images) for pairs in chosen]), return_counts=True)
    at_least = options.at_least or len(embeddings)
    keep = (votes >= at_least) & ~np.isin(numbers, choice.duplicates.numbers(images))
    a, b = np.divmod(numbers[keep], images)
    found = choice.with_evidence(FoundPairs(a, b, rescore(first.vectors, a, b)))
    cosines = {
        f"similarity_{place}": rescore(other.vectors, a, b).astype(np.float32)
        for place, other in enumerate(embeddings[1:], 2)
    }
    names = [embedding.store.manifest.encoder.name for embedding in embeddings]
    made = [
        {"encoder": name, "chosen": len(pairs), "asked": embedding.store.manifest.asked}
        for name, pairs, embedding in zip(names, chosen, embeddings, strict=True)
    ]
    votes = votes[keep].astype(np.int32)
    return found.with_evidence(votes=votes, **cosines), {"at_least": at_least, "embeddings": made}


def _chosen(embedding: SearchedEmbedding, parts: Path) -> FoundPairs:
    try:
        return embedding.choose(embedding.join().run(parts, embedding.executor), parts).pairs
    except FloodError as flood:
        named = FloodError(f"{embedding.store.folder}: {flood}")
        named.densest = flood.densest
        raise named from None
