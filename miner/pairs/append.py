"""Pairs of a set of images that has grown: those of the old images are known, only the new ones are searched against all."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from miner.artifacts.embeddings.vectors import Rows, Vectors
from miner.artifacts.stage import Stage
from miner.engine import write_json
from miner.engine.records import Record, read_json
from miner.errors import MinerError
from miner.pairs.arithmetic.cosine import rescore
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.tables.found import FoundPairs, read_rows
from miner.pairs.tables.write import DROPPED

_PREVIOUS = "previous.json"
_TABLES = ("pairs.parquet", "duplicates.parquet", DROPPED)


def vectors_seen(embeddings: Record) -> Record:
    """What a manifest of pairs holds of the embeddings, so that growth can be told from change."""
    files = {name: record for name, record in embeddings["files"].items() if name.startswith("img_emb/")}
    return {"count": embeddings["count"], "files": files}


def continued(stage: Stage, embeddings: Record) -> Record | None:
    """The finished pairs that this request continues: the same request for fewer images. None if there are none at all.

    Raises:
        MinerError: there are pairs, but of another request, or the vectors of the old images have changed.
    """
    base = read_json(stage.folder / "manifest.json") or read_json(stage.folder / _PREVIOUS)
    if base is None:
        return None
    old, new = base["request"], stage.request
    changed = sorted(
        name for name in old.keys() | new.keys() if name != "embeddings" and old.get(name) != new.get(name)
    )
    if changed:
        raise MinerError(
            f"--append continues the pairs of the same request, but {', '.join(changed)} differ from {stage.folder}. Give the "
            "options of the first run, or mine again with --force."
        )
    seen, now = base.get("vectors", {"count": 0, "files": None}), vectors_seen(embeddings)
    if seen["files"] is None or any(now["files"].get(name) != record for name, record in seen["files"].items()):
        raise MinerError(
            "--append needs the vectors of the old images as they were, but they were embedded again. Mine again with --force."
        )
    return base


def begin_append(stage: Stage, base: Record) -> None:
    """Make the folder ready to go on from `base`, whose manifest is kept as previous.json until the new one is there."""
    if read_json(stage.folder / "request.json") != stage.request:
        shutil.rmtree(stage.folder / "parts", ignore_errors=True)
    write_json(stage.folder / _PREVIOUS, base)
    write_json(stage.folder / "request.json", stage.request)
    (stage.folder / "manifest.json").unlink(missing_ok=True)


def end_append(stage: Stage) -> None:
    """Called when the new manifest is there."""
    (stage.folder / _PREVIOUS).unlink(missing_ok=True)


def give_up_append(stage: Stage, base: Record) -> None:
    """Back to the old pairs, whose tables have not been touched."""
    shutil.rmtree(stage.folder / "parts", ignore_errors=True)
    write_json(stage.folder / "manifest.json", base)
    (stage.folder / "request.json").unlink(missing_ok=True)
    end_append(stage)


def with_known(folder: Path, vectors: Vectors, old_images: int, new: FoundPairs) -> FoundPairs:
    """The new pairs together with those among the first `old_images` rows that the tables hold, measured again."""
    ends = list(_known_ends(folder, old_images))
    a = np.concatenate([*(a for a, _ in ends), np.empty(0, np.int64)])
    b = np.concatenate([*(b for _, b in ends), np.empty(0, np.int64)])
    similarity = np.concatenate([rescore(vectors, a, b, Threads()), new.similarity])
    a, b = np.concatenate([a, new.a]), np.concatenate([b, new.b])
    order = np.lexsort((b, a))
    return FoundPairs(a[order], b[order], similarity[order])


def _known_ends(folder: Path, old_images: int) -> Iterator[tuple[Rows, Rows]]:
    """Of pairs a < b < old_images. A killed run may have replaced a table by one that holds new pairs too."""
    for name in _TABLES:
        if not (folder / name).exists():
            continue
        a, b = read_rows(folder / name)
        old = (a < b) & (b < old_images)
        yield a[old], b[old]
