"""What `miner embed` tells: images, labels, and all that was left out."""

from collections import Counter
from pathlib import Path

import pyarrow.compute as pc

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import read_metadata
from miner.artifacts.parquet import load_table
from miner.source.base import LeftOut
from miner.text import counted

_NAMED = 5


def summary(folder: Path, made: EmbeddingsManifest, left_out: LeftOut) -> str:
    """One line, such as: 5,096 images; labels: 5,000 of 5,096 in 17 classes; left out: 3 unreadable (a.jpg: empty file, ...).

    Args:
        made: their manifest.
        left_out: by the source.
    """
    parts = [
        counted(made.count, "vector" if made.source.without_images else "image"),
        _labels(folder, made, left_out.labels),
    ]
    unreadable = sum(made.errors.values())
    unusable = "without a usable vector or image" if made.request.vectors_files else "unreadable"
    missing = [f"{unreadable:,} {unusable} ({_first_errors(folder, unreadable)})"] if unreadable else []
    if left_out.files:
        missing.append(f"{left_out.files.total():,} of other kinds ({_counts(left_out.files)})")
    if missing:
        parts.append(f"left out: {', '.join(missing)}")
    return "; ".join(parts)


def _labels(folder: Path, made: EmbeddingsManifest, dropped: Counter[str]) -> str:
    labels = read_metadata(folder, made.blocks)["label"]
    known, classes = len(labels) - labels.null_count, len(pc.unique(labels.drop_null()))
    text = f"labels: {known:,} of {made.count:,} in {counted(classes, 'class')}" if known else "no labels"
    return text + (f" ({dropped.total():,} not used: {_counts(dropped)})" if dropped else "")


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common(_NAMED)) + (
        ", ..." if len(counter) > _NAMED else ""
    )


def _first_errors(folder: Path, count: int) -> str:
    rows = load_table(folder / "errors.parquet", ["path", "reason"]).slice(0, _NAMED).to_pylist()
    return ", ".join(f"{row['path']}: {row['reason']}" for row in rows) + (", ..." if count > _NAMED else "")
