"""Small workspaces on disk that hold what training and evaluation read, written by the file contract alone."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import combinations
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from miner.artifacts.stage_folder import StageFolder
from miner.artifacts.workspace import Workspace
from miner.engine import write_json
from miner.engine.digest import file_record
from miner.engine.tar import write_tar
from miner.source import Entry, Source, open_source
from tests.artifacts.manifests import embeddings_record, pairs_record, shards_record

Pair = tuple[Entry, Entry]

TINY_RUN = {"epochs": 2, "batch_size": 8, "image_size": 32, "stem": "imagenet", "dim": 16, "device": "cpu"}


def kept_checkpoint() -> AbstractContextManager[object]:
    """Runs that finish within keep their last checkpoint."""
    return mock.patch.object(StageFolder, "sweep")


def sample_entries(count: int) -> tuple[Source, list[Entry]]:
    """The first images of the built-in sample."""
    source = open_source("sample")
    return source, list(source.entries[:count])


def same_class_pairs(entries: Sequence[Entry], count: int) -> list[Pair]:
    """Pairs of one class among the first 200 entries."""
    pairs = [pair for pair in combinations(entries[:200], 2) if pair[0].label == pair[1].label]
    assert len(pairs) >= count
    return pairs[:: len(pairs) // count or 1][:count]


def write_shards(root: Path, images: int = 96, pairs: int = 40, labelled: bool = True) -> Workspace:
    """A workspace with `shards/` only."""
    source, entries = sample_entries(images)
    folder = root / "shards"
    folder.mkdir(parents=True)
    with (folder / "images-000000.tar").open("wb") as stream:
        write_tar(
            stream,
            [
                member
                for entry in entries
                for member in (
                    (f"{entry.key}.{entry.extension}", source.read(entry)),
                    (f"{entry.key}.json", json.dumps({"label": entry.label if labelled else None}).encode()),
                )
            ],
        )
    write_pairs(folder / "pairs.parquet", same_class_pairs(entries, pairs), labelled)
    finish_folder(folder, **shards_record(images, pairs, source.classes))
    return Workspace(root)


def write_embedded(root: Path, source_spec: str, pairs: int = 40, skip: int = 0) -> Workspace:
    """A workspace with `embeddings/` and `pairs/`; the first `skip` images of the source are not usable."""
    source = open_source(source_spec)
    entries = list(source.entries[skip:])
    metadata = root / "embeddings" / "metadata"
    metadata.mkdir(parents=True)
    half = len(entries) // 2
    for number, part in enumerate((entries[:half], entries[half:])):
        sums = [hashlib.sha256(source.read(entry)).hexdigest() for entry in part]
        table = pa.table({"key": [entry.key for entry in part], "sha256": sums})
        pq.write_table(table, metadata / f"metadata_{number:05d}.parquet")
    finish_folder(root / "embeddings", **embeddings_record(source_spec, len(entries)))
    (root / "pairs").mkdir()
    write_pairs(root / "pairs" / "pairs.parquet", same_class_pairs(entries, pairs), labelled=True)
    finish_folder(root / "pairs", **pairs_record(pairs))
    return Workspace(root)


def write_pairs(path: Path, pairs: Sequence[Pair], labelled: bool, similarity: Sequence[float] | None = None) -> None:
    labels = [[entry.label if labelled else None for entry in side] for side in zip(*pairs, strict=True)] or [[], []]
    pq.write_table(
        pa.table(
            {
                "key_a": pa.array([a.key for a, _ in pairs], pa.string()),
                "key_b": pa.array([b.key for _, b in pairs], pa.string()),
                "similarity": pa.array(similarity or [0.9] * len(pairs), pa.float32()),
                "label_a": pa.array(labels[0], pa.int64()),
                "label_b": pa.array(labels[1], pa.int64()),
            }
        ),
        path,
    )


def finish_folder(folder: Path, **record: object) -> None:
    """Write the manifest of a stage folder."""
    files = {
        str(path.relative_to(folder)): file_record(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }
    write_json(folder / "manifest.json", {"files": files, "request": {}, **record})
