"""A small finished workspace of real images, written as the stages write it, without an encoder."""

import hashlib
import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.embeddings import ERROR_SCHEMA, METADATA_SCHEMA, metadata_path
from miner.pairs.graph import NeighbourGraph
from miner.pairs.groups import find_groups, group_statistics
from miner.pairs.histogram import sample_histogram
from miner.pairs.hubs import hubness, in_degrees
from miner.pairs.statistics import label_statistics, pair_statistics
from miner.pairs.table import FoundPairs, write_pairs
from miner.source import open_source
from miner.source.base import source_fingerprint
from miner.stored import MemoryVectors
from miner.workspace import Stage, Workspace, fingerprint

BAND = {"min": 0.2, "max": 0.9}
WorkspaceMaker = Callable[..., Workspace]


@pytest.fixture
def make_workspace(tmp_path: Path) -> WorkspaceMaker:
    """Embeddings and pairs of a source; the similarities are those of random directions, the rest is real."""

    def make(source: str = "sample", images: int = 40, name: str = "w", labels: bool = True, **more: Any) -> Workspace:
        workspace = Workspace(tmp_path / name)
        _embed(workspace, source, images, labels, more.get("errors", []))
        mine(workspace, more.get("band", BAND), more.get("extras", False))
        return workspace

    return make


def _embed(workspace: Workspace, spec: str, images: int, labels: bool, errors: list[dict[str, str]]) -> None:
    source = open_source(spec)
    entries = source.entries[:images]
    data = [source.read(entry) for entry in entries]
    rows = [
        {
            "key": entry.key,
            "path": entry.path,
            "label": entry.label if labels else None,
            "width": 28,
            "height": 28,
            "extension": entry.extension,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        for entry, content in zip(entries, data, strict=True)
    ]
    stage = Stage(workspace.embeddings, {"source": spec, "source_fingerprint": source_fingerprint(entries)})
    stage.begin(force=True)
    metadata = metadata_path(stage.folder, 0)
    metadata.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, METADATA_SCHEMA), metadata)
    pq.write_table(pa.Table.from_pylist(errors, ERROR_SCHEMA), stage.folder / "errors.parquet")
    reasons = [error["reason"] for error in errors]
    stage.finish(
        {
            "source": {"spec": spec, "images": images + len(errors), "classes": source.classes if labels else None},
            "encoder": {"name": "some_encoder", "labels_seen": "ImageNet-1k"},
            "count": len(rows),
            "blocks": 1,
            "errors": {reason: reasons.count(reason) for reason in reasons},
        },
        [metadata, stage.folder / "errors.parquet"],
    )


def mine(workspace: Workspace, band: dict[str, float], extras: bool = False) -> None:
    """All pairs of a few random directions in the band, above it duplicates; replaces the pairs that are there.

    With `extras`, as --both-orders, --groups and --neighbors 3 make them.
    """
    embeddings = workspace.manifest(workspace.embeddings)
    metadata = pq.read_table(metadata_path(workspace.embeddings, 0))
    images, keys = metadata.num_rows, metadata["key"].to_pylist()
    units = np.random.default_rng(0).normal(size=(images, 4)).astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    a, b = np.asarray(list(combinations(range(images), 2)), np.int64).T
    similarity = (units[a] * units[b]).sum(axis=1).astype(np.float64)
    labels = None
    if metadata["label"].null_count == 0:
        labels = metadata["label"].to_numpy().astype(np.int64)
    chosen = (similarity >= band["min"]) & (similarity <= band["max"])
    stage = Stage(workspace.pairs, {"embeddings": fingerprint(embeddings["files"]), "band": band})
    stage.begin(force=True)
    stage.folder.mkdir(parents=True, exist_ok=True)
    tables = {"pairs.parquet": chosen, "duplicates.parquet": similarity > band["max"]}
    for name, rows in tables.items():
        pairs = FoundPairs(a[rows], b[rows], similarity[rows])
        if extras and name == "pairs.parquet":
            pairs, _ = pairs.in_both_orders()
        write_pairs(stage.folder / name, pairs, np.zeros(len(pairs), bool), pa.array(keys), labels)
    record = {
        "images": images,
        "duplicates": int((similarity > band["max"]).sum()),
        "labels": label_statistics(a[chosen], b[chosen], similarity[chosen], labels),
        "histogram": sample_histogram(MemoryVectors(units), labels, 0).record(),
        **pair_statistics(a[chosen], b[chosen], images),
    }
    if extras:
        ids, _ = NeighbourGraph(MemoryVectors(units), 3).nearest(0, images)
        record["neighbours"] = hubness(in_degrees(ids), 3, keys)
        mined = similarity >= band["min"]
        groups = find_groups(a[mined], b[mined], similarity[mined])
        record["groups"] = group_statistics(groups, int(mined.sum()), labels)
    stage.finish(record, [stage.folder / name for name in tables])


@pytest.fixture
def add_run() -> Callable[..., None]:
    """A finished training run with its metrics, and a kNN and a linear result if asked for."""

    def add(workspace: Workspace, name: str = "moco", knn: bool = False, finished: bool = True) -> None:
        stage = Stage(workspace.run(name), {"method": "moco", "pairs_arm": "semantic", "epochs": 2})
        stage.begin(force=True)
        lines = [{"step": 10 * n, "epoch": 1, "lr": 0.1, "loss": 5.0 / n, "accuracy": n / 10} for n in range(1, 6)]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (stage.folder / "metrics.jsonl").write_text(text + '{"step": 60, "lo')
        if finished:
            stage.finish({"final_loss": 1.25, "images": 40, "pairs": 9}, [stage.folder / "metrics.jsonl"])
        if knn:
            result = {"k": 20, "temperature": 0.07, "trained": 87.6, "random": 54.3}
            record = {"results": [result], "majority": 10.0, "n_gallery": 32, "n_test": 8, "request": {"limit": None}}
            (stage.folder / "eval").mkdir()
            (stage.folder / "eval" / "knn.json").write_text(json.dumps(record))
            sides = {"trained": {"test": 91.2, "chosen": 0.01}, "random": {"test": 43.9, "chosen": 0.1}}
            record = {"results": sides, "protocol": "fast", "classifier": "logistic regression", "majority": 10.0}
            (stage.folder / "eval" / "linear-best.json").write_text(json.dumps({**record, "weights": "best"}))

    return add
