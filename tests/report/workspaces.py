"""Small workspaces of real images, written as the stages write them, without an encoder."""

import hashlib
import io
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from miner.artifacts.embeddings.images import ERROR_SCHEMA, METADATA_SCHEMA
from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import EmbeddingStore, metadata_path, vectors_path
from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.pairs.statistics import label_statistics, pair_statistics
from miner.artifacts.pairs.table import write_pairs
from miner.artifacts.stage_folder import Stage
from miner.artifacts.workspace import Workspace
from miner.pairs.neighbours.graph import NeighbourGraph
from miner.pairs.neighbours.hubs import hubness, in_degrees
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.pairs.tables.composition import composition, vector_clusters
from miner.pairs.tables.duplicate_images import write_duplicate_images
from miner.pairs.tables.found import FoundPairs
from miner.pairs.tables.groups import find_groups, group_statistics
from miner.pairs.tables.histogram import sample_histogram
from miner.refine.options import RefineStageOptions
from miner.refine.run import refine
from miner.source import open_source
from miner.source.base import source_fingerprint
from miner.train.run import train
from miner.train.settings.options import TrainOptions

BAND = {"min": 0.2, "max": 0.9}


def write_embeddings(workspace: Workspace, spec: str, images: int, labels: bool, errors: list[dict[str, str]]) -> None:
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
    vectors = np.stack([_small(content) for content in data]).astype(np.float16)
    vectors_path(stage.folder, 0).parent.mkdir()
    np.save(vectors_path(stage.folder, 0), vectors)
    pq.write_table(pa.Table.from_pylist(rows, METADATA_SCHEMA), metadata)
    pq.write_table(pa.Table.from_pylist(errors, ERROR_SCHEMA), stage.folder / "errors.parquet")
    reasons = [error["reason"] for error in errors]
    stage.finish(
        {
            "source": {"spec": spec, "images": images + len(errors), "classes": source.classes if labels else None},
            "encoder": {"name": "some_encoder", "labels_seen": "ImageNet-1k"},
            "count": len(rows),
            "blocks": 1,
            "dim": vectors.shape[1],
            "dtype": vectors.dtype.name,
            "errors": {reason: reasons.count(reason) for reason in reasons},
        },
        [metadata, vectors_path(stage.folder, 0), stage.folder / "errors.parquet"],
    )


def _small(content: bytes) -> np.ndarray:
    """The pixels of a small copy as a unit vector."""
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB").resize((6, 6)), np.float32).ravel() - 90
    return pixels / np.linalg.norm(pixels)


def mine(workspace: Workspace, band: dict[str, float], extras: bool = False) -> None:
    """All pairs of a few random directions in the band, above it duplicates; replaces the pairs that are there.

    With `extras`, as --both-orders, --groups and --neighbors 3 make them.
    """
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
    stage = Stage(workspace.pairs, {"embeddings": EmbeddingsManifest.read(workspace).identity, "band": band})
    stage.begin(force=True)
    stage.folder.mkdir(parents=True, exist_ok=True)
    tables = {"pairs.parquet": chosen, "duplicates.parquet": similarity > band["max"]}
    for name, rows in tables.items():
        pairs = FoundPairs(a[rows], b[rows], similarity[rows])
        if extras and name == "pairs.parquet":
            pairs = pairs.in_both_orders()
        columns = (pairs.a, pairs.b, pairs.similarity, {"mutual": np.zeros(len(pairs), bool)})
        write_pairs(stage.folder / name, *columns, pa.array(keys), labels)
    above = similarity > band["max"]
    duplicates, listed = FoundPairs(a[above], b[above], similarity[above]), stage.folder / "duplicate_images.parquet"
    record = {
        "images": images,
        "duplicates": len(duplicates),
        "duplicate_images": write_duplicate_images(
            listed, duplicates, EmbeddingStore(workspace), "largest", np.arange(images)
        ),
        "labels": label_statistics(a[chosen], b[chosen], similarity[chosen], labels),
        "histogram": sample_histogram(MemoryVectors(units), labels, 0).record(),
        **pair_statistics(a[chosen], b[chosen], images),
        "composition": composition(
            np.bincount(np.concatenate([a[chosen], b[chosen]]), minlength=images),
            vector_clusters(MemoryVectors(units), 0),
            labels,
        ),
    }
    if extras:
        ids, _ = NeighbourGraph(MemoryVectors(units), 3).nearest(0, images)
        record["neighbours"] = hubness(in_degrees(ids), 3, keys)
        mined = similarity >= band["min"]
        groups = find_groups(a[mined], b[mined], similarity[mined])
        record["groups"] = group_statistics(groups, int(mined.sum()), labels)
    stage.finish(record, [*(stage.folder / name for name in tables), listed])


GRAPH_RUN = {
    **{"method": "graphnnclr", "name": "graphs", "pairs_arm": "none", "graph_window": 2, "graph_edges": 4, "epochs": 4},
    **{"batch_size": 8, "image_size": 32, "backbone": "vit_tiny", "patch_size": 16, "dim": 16, "hidden_dim": 16},
    "device": "cpu",
}


def make_graphs(workspace: Workspace, source: str, images: int) -> Workspace:
    """Embeddings with a mined neighbour graph, a run that kept graphs (`GRAPH_RUN`), and refined embeddings."""
    write_embeddings(workspace, source, images, open_source(source).entries[0].label is not None, [])
    pairs(PairsOptions.parse({"min": 0.8, "max": 0.99, "neighbors": 5}), workspace)
    train(TrainOptions(**GRAPH_RUN), workspace)
    refine(RefineStageOptions.parse({"neighbors": 5, "dim": 8, "epochs": 2, "device": "cpu"}), workspace)
    return workspace
