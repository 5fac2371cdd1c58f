"""`miner embed`: every image of a source once through a frozen encoder."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from miner.artifacts.embeddings.manifest import RESULTS, SCRATCH, EmbeddingsManifest
from miner.artifacts.embeddings.verified import write_versions
from miner.artifacts.stage_folder import GrowingStage, request_of
from miner.artifacts.workspace import Workspace
from miner.embed.encoder_name import encoder_request
from miner.embed.finish import ErrorWatch, finish
from miner.embed.options import EmbedOptions
from miner.embed.runtimes.choice import begun_runtime, compare_arithmetic, new_runtime
from miner.engine import LocalExecutor, Progress, Record, Result, Unit, finished_items, run
from miner.errors import MinerError
from miner.machine.executor import executor_for
from miner.machine.memory import peak_bytes
from miner.source import Entry, Source, open_source
from miner.source.base import source_fingerprint
from miner.source.parts import mixed_parts
from miner.text import counted

if TYPE_CHECKING:
    from miner.embed.worker import Meter, Worker


def embed(options: EmbedOptions, workspace: Workspace, *, force: bool = False, least: int = 2) -> Result:
    """Encode a source into `embeddings/`. Blocks that an earlier run finished are kept.

    If the source has grown since then, the old rows keep their numbers and the new images follow. If it was moved, its images
    are read from the new place.

    Args:
        least: images that must be usable.
    Raises:
        MinerError: the source has fewer images, or fewer can be used; more images are unusable than allowed; the weights cannot be
            loaded; the disk is full; an image has changed; or the workspace holds the embeddings of another request.
    """
    if options.vectors is not None:
        from miner.embed.existing.run import take_vectors

        return take_vectors(options, workspace, force)
    assert options.source is not None
    source = open_source(options.source, options.image_column, options.label_column)
    options = options.model_copy(update={"source": source.spec})
    entries = list(source.entries[: options.limit])
    if len(entries) < least:
        raise MinerError(f"{options.source} holds one image; a pair needs two. Name a folder with more images.")
    if options.compile:
        from miner.embed.compiling import resolve_compile

        options = resolve_compile(options)
    begun = {} if force else request_of(workspace.embeddings) or {}
    options = begun_runtime(options, begun) if begun else new_runtime(options, source, entries)
    request = {**encoder_request(options, begun), "source_fingerprint": source_fingerprint(entries)}
    # An older miner wrote the batch size that `--batch-size 0` had found into the request.
    if (size := begun.get("batch_size")) and options.batch_size in (None, size):
        options, request = options.model_copy(update={"batch_size": size}), {**request, "batch_size": size}
    stage = GrowingStage(workspace.embeddings, request, RESULTS, SCRATCH)
    notes, base = mixed_parts(source), None
    if begun:
        from miner.embed.earlier import grown_from, same_images

        notes += same_images(stage, source, entries, workspace)
        if manifest := stage.finished():
            write_versions(workspace, entries)
            return _result(manifest, source, workspace, notes, fresh=False)
        base = grown_from(stage, entries)
    if base is None and not force:
        stage.refuse_another()

    from miner.embed.earlier import remove_blocks
    from miner.embed.worker import worker_of

    # The encoder loads before anything is replaced. If loading fails, the old embeddings are still there.
    worker = worker_of(options, source)
    compare_arithmetic(workspace, worker, bool(begun))
    if base is not None:
        stage.begin_growth(base, partial(remove_blocks, stage.folder, base.blocks))
    else:
        stage.begin(force)
    write_versions(workspace, entries)
    manifest, measured = _encode(options, source, entries, worker, stage, base, least)
    return _result(manifest, source, workspace, notes, measured=measured)


def _encode(
    options: EmbedOptions,
    source: Source,
    entries: Sequence[Entry],
    worker: "Worker",
    stage: GrowingStage,
    base: EmbeddingsManifest | None,
    least: int,
) -> tuple[Record, Record]:
    """Encode what is not encoded yet; returns the manifest, and how this process spent its time."""
    from miner.embed.earlier import new_images
    from miner.embed.parts import remove_parts
    from miner.engine.heap import give_back_memory

    new = new_images(stage.folder, base, entries)
    units = _units(options, new, stage.folder, base.blocks if base else 0)
    watch = ErrorWatch(options, len(entries), units)

    def ended(unit: Unit) -> None:
        watch.look(unit)
        remove_parts(stage.folder, int(unit.id))

    executor = executor_for(options.engine_address, options.device)
    local = executor == LocalExecutor()
    # Units of other processes count when they end, with the images of their parts.
    kept = _kept(units, stage.folder) if local else finished_items(units)
    try:
        with Progress("embed", len(new), "images", kept) as progress:
            if local:
                worker.on_images = lambda count, meter: progress.advance(count, _pace(meter))
            run(units, progress=None if local else progress, executor=executor, after=ended)
            worker.on_images = None
    except BaseException:
        print(
            f"embed: {_kept(units, stage.folder):,} of {counted(len(new), 'image')} are kept.",
            file=sys.stderr,
            flush=True,
        )
        raise
    give_back_memory()
    record = {
        "source": {"spec": source.spec, "images": len(entries), "classes": source.classes, **_columns(options)},
        "encoder": worker.encoder.record(),
        "precision": str(worker.precision).removeprefix("torch."),
        "dtype": options.dtype,
        "blocks": (base.blocks if base else 0) + len(units),
    }
    if worker.library["name"] != "torch":
        record["runtime"] = worker.library
    manifest = finish(record, stage, least)
    measured = {"images_per_s": round(progress.rate, 1), "images": progress.count - progress.finished}
    if local:
        measured |= _measured(worker)
    return manifest, measured


def _kept(units: Sequence[Unit], folder: Path) -> int:
    """How many images are encoded, in finished units or in parts of others."""
    from miner.embed.parts import images_in_parts

    return finished_items(units) + images_in_parts(folder, [int(unit.id) for unit in units if not unit.done])


def _columns(options: EmbedOptions) -> Record:
    """The columns that the user chose."""
    return options.model_dump(include={"image_column", "label_column"}, exclude_none=True)


def _units(options: EmbedOptions, entries: Sequence[Entry], folder: Path, first: int) -> list[Unit]:
    """Blocks of consecutive images, numbered from `first`."""
    from miner.artifacts.embeddings import store
    from miner.embed.worker import encode_block

    blocks = [entries[start : start + options.block_size] for start in range(0, len(entries), options.block_size)]
    return [
        Unit(
            id=f"{number:05d}",
            outputs=(
                store.vectors_path(folder, number),
                store.error_part_path(folder, number),
                store.metadata_path(folder, number),
            ),
            work=partial(encode_block, options, block, folder, number),
            items=len(block),
        )
        for number, block in enumerate(blocks, first)
    ]


def _pace(meter: "Meter") -> str:
    """For the progress display."""
    busy_s = meter.waiting_s + meter.encoding_s
    return f"{meter.waiting_s / busy_s:.0%} waiting for decoding" if busy_s else ""


def _measured(worker: "Worker") -> Record:
    """How this process spent its time. It differs from run to run, so it goes to run.json and not to the manifest."""
    import torch

    meter, busy_s = worker.meter, worker.meter.waiting_s + worker.meter.encoding_s
    waiting = meter.waiting_s / busy_s if busy_s else 0.0
    measured = {
        "data_wait_share": round(waiting, 4),
        "bound_by": "decoding" if waiting > 0.5 else "encoding",
        "peak_memory_mb": peak_bytes() >> 20,
        "batch_size": meter.smallest_batch or worker.batch_size,
    }
    if worker.device.type == "cuda":
        measured["peak_device_memory_mb"] = torch.cuda.max_memory_allocated(worker.device) >> 20
    return measured


def _result(
    manifest: Record,
    source: Source,
    workspace: Workspace,
    notes: list[str],
    fresh: bool = True,
    measured: Record | None = None,
) -> Result:
    from miner.embed.summary import summary

    folder = workspace.embeddings
    path = EmbeddingsManifest.path(workspace)
    made = EmbeddingsManifest.of(manifest, path)
    by = f", {made.runtime.name}" if made.runtime else ""
    lines = [
        *notes,
        f"embed: {summary(folder, made, source.left_out)}",
        f"embed: {made.dim}-d vectors by {made.encoder.name} ({made.precision}{by}) in {folder}",
    ]
    if made.errors:
        lines[-1] += "; errors.parquet there lists all unreadable images"
    if measured:
        lines.append(f"embed: {', '.join(_facts(measured))}")
    headline = [("images", f"{made.count:,}")]
    return Result("embed", manifest, lines, fresh, headline, measured or {}, path=path, verdict=made.verdict)


def _facts(measured: Record) -> list[str]:
    facts = [f"{measured['images_per_s']:,.0f} images/s"]
    if "bound_by" in measured:
        facts.append(
            f"bound by {measured['bound_by']} ({measured['data_wait_share']:.0%} of the time waiting for data)"
        )
        facts.append(f"peak memory {measured['peak_memory_mb']:,} MB, batch {measured['batch_size']}")
    return facts
