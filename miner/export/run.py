"""`miner export`: images and pairs as WebDataset shards. The same content gives the same bytes."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from miner.artifacts.decisions import read_decisions, rejected
from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.manifests import ShardsManifest
from miner.artifacts.pairs.against import AgainstManifest
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.pairs.table import DUPLICATE_IMAGES
from miner.artifacts.workspace import Workspace
from miner.engine import AnyPath, Progress, Record, Result, file_record, fingerprint, finished_items, folder_lock, run
from miner.export.options import ExportOptions
from miner.export.target import ExportTarget, open_target
from miner.machine.executor import executor_for
from miner.machine.memory import format_bytes
from miner.text import counted

if TYPE_CHECKING:
    from miner.export.content import Content


def export(options: ExportOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Write `shards/`. Finished shards of an interrupted run are kept.

    Raises:
        MinerError: embeddings or pairs are missing, or the decisions are damaged; an image has changed since it was embedded;
            the disk is full, or the target holds the shards of another request.
    """
    embeddings = EmbeddingsManifest.read(workspace)
    if options.retrieved is None or options.without_duplicates:
        pairs: PairsManifest | None = PairsManifest.read(workspace, of=embeddings)
    else:
        pairs = PairsManifest.find(workspace, of=embeddings)
    reject = rejected(read_decisions(options.exclude)) if options.exclude else set()
    request = {
        "embeddings": embeddings.identity,
        "pairs": pairs.table_identity if pairs else "",
        "rejected": fingerprint(sorted(reject)) if reject else None,
        **options.request(),
    }
    retrieved = None
    if options.retrieved is not None:
        near = AgainstManifest.read(options.retrieved)
        retrieved = near.rows_in_pairs(options.retrieved, embeddings)
        request["retrieved_images"] = fingerprint(near.files)
    if options.without_duplicates and pairs:
        pairs.checked(workspace.pairs, DUPLICATE_IMAGES)
        request["duplicate_images"] = pairs.files[DUPLICATE_IMAGES]["sha256"]
    stage = open_target(options, workspace, request)
    with folder_lock(stage.folder):
        if not force and (manifest := stage.finished()):
            return _result(manifest, stage, fresh=False)
        if not force:
            stage.refuse_another()

        from miner.export.content import read_content

        content = read_content(options, workspace, embeddings, pairs, retrieved, reject)
        # What can be refused has been by now; only then do old shards go.
        stage.begin(force)
        records = _write(content, options, stage)
        manifest = stage.conclude(_record(content, embeddings, pairs), dict(sorted(records.items())))
        return _result(manifest, stage)


def _write(content: "Content", options: ExportOptions, stage: ExportTarget) -> dict[str, Record]:
    """Write all files; returns the record of each file by name."""
    from miner.export.tables import image_table, write_table, write_wids_index

    folder = stage.folder
    units = content.units(folder)
    with Progress("export", sum(unit.items for unit in units), "samples", finished_items(units)) as progress:
        executor = executor_for(options.engine_address, workers=options.workers)
        run(units, progress=progress, executor=executor)
    records = {unit.id: _shard_record(*unit.outputs) for unit in units}
    images = image_table(content.shards, content.images)
    if len(content.image_rows) < len(images):
        images = images.take(content.image_rows)
    records["images.parquet"] = write_table(folder / "images.parquet", images)
    # The row numbers of the embeddings mean nothing to readers of the shards.
    records["pairs.parquet"] = write_table(folder / "pairs.parquet", content.pairs.drop_columns(["a", "b"]))
    for kind, name in (("pairs", "index.json"), ("images", "index-images.json")):
        if shards := [shard for shard in content.shards if shard.kind == kind]:
            records[name] = write_wids_index(folder / name, kind, shards)
    return records


def _shard_record(note: AnyPath, shard: AnyPath) -> Record:
    """The record of a shard, noted while the shard was written. A shard without a readable note is read again."""
    try:
        record = json.loads(note.read_bytes())
    except (FileNotFoundError, ValueError):
        record = None
    return record if isinstance(record, dict) else file_record(shard)


def _record(content: "Content", embeddings: EmbeddingsManifest, pairs: PairsManifest | None) -> Record:
    """The fields of the manifest beside the request and the files."""
    import numpy as np

    from miner.artifacts.pairs.statistics import label_statistics

    a, b, similarity = (content.pairs[name].to_numpy() for name in ("a", "b", "similarity"))
    labels = content.images["label"]
    known = None
    if content.unlabelled is not None:
        known = np.full(len(labels), -1, np.int64)
        known[content.image_rows] = labels.fill_null(-1).to_numpy()[content.image_rows]
    sets: dict[str, Record] = {}
    for shard in content.shards:
        entry = sets.setdefault(shard.set_name, {"fields": list(shard.fields), "samples": 0, "shards": 0, "bytes": 0})
        for name, value in (("samples", len(shard.rows)), ("shards", 1), ("bytes", shard.size_bytes)):
            entry[name] += value
    return {
        "source": Path(embeddings.source.spec).name,
        "classes": embeddings.source.classes,
        "encoder": embeddings.record["encoder"],
        "band": pairs.asked["band"] if pairs else None,
        "images": len(content.image_rows),
        **{
            "duplicate_images" if reason == "duplicates" else reason: count
            for reason, count in content.images_left_out.items()
        },
        "pairs": len(content.pairs),
        "images_in_pairs": len(np.unique(np.concatenate([a, b]))),
        "left_out": content.left_out,
        "labels": label_statistics(a, b, similarity, known),
        "samples": {shard.name: len(shard.rows) for shard in content.shards},
        "sets": sets,
    }


def _result(manifest: Record, stage: ExportTarget, fresh: bool = True) -> Result:
    path = stage.folder / "manifest.json"
    made = ShardsManifest.of(manifest, path)
    total = sum(file["bytes"] for file in made.files.values())
    images = "" if made.request.pairs_only else f"{counted(made.images, 'image')} and "
    left_out = {
        "rejected": "rejected by reviewers",
        "duplicates": "with a duplicate image",
        "not_retrieved": "with an image that was not retrieved",
        "max_degree": "over --max-degree",
    }
    reasons = [f"{count:,} {left_out[name]}" for name, count in made.left_out.items() if count]
    lines = [
        f"export: {images}{counted(made.pairs, 'pair')} in {counted(len(made.samples), 'shard')}, "
        f"{format_bytes(total)}, in {stage.folder}",
        *([f"export: {counted(made.duplicate_images, 'duplicate image')} left out"] if made.duplicate_images else []),
        *(
            [f"export: {counted(made.not_retrieved, 'image')} left out that were not retrieved"]
            if made.not_retrieved
            else []
        ),
        *([f"export: pairs left out: {', '.join(reasons)}"] if reasons else []),
    ]
    return Result("export", manifest, lines, fresh, path=path, verdict=made.verdict)
