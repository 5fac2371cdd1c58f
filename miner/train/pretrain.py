"""One run from images on disk to a backbone on disk."""

import math
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from miner.artifacts.runs.files import BACKBONE_FILE, BEST_FILE, DESCRIPTION_FILE, PROJECTOR_FILE, TEACHER_FILE
from miner.artifacts.runs.graphs import GRAPH_FILES
from miner.artifacts.runs.inputs import Inputs
from miner.artifacts.runs.networks import save_backbone, save_description, save_projector
from miner.artifacts.runs.training_data import open_images, pair_rows
from miner.engine import write_bytes
from miner.engine.heap import keep_freed_memory
from miner.engine.records import Record
from miner.images.canvases import Canvases, canvas_side, channel_statistics, nearest_image_size, to_device, typical_side
from miner.images.storage import hold_images
from miner.learning.checkpoint import previous
from miner.learning.networks.split_norm import count_splits
from miner.learning.parallel.collectives import own_device, rank, world_size
from miner.machine.device import resolve_device, resolve_precision
from miner.train.data.arm_pairs import ArmPairs, draw_pairs
from miner.train.data.pair_index import PairIndex
from miner.train.data.sampler import CombinedSampler
from miner.train.loop.loop import run_loop
from miner.train.loop.metrics import METRICS_FILE, read_metrics
from miner.train.methods import build_method
from miner.train.methods.graphnnclr import GraphNNCLR
from miner.train.methods.parts.graph_files import save_graphs
from miner.train.observers.knn import KnnObserver, labelled_part
from miner.train.observers.neighbour_agreement import PurityObserver
from miner.train.observers.rankme import RankMeObserver
from miner.train.settings import plan as planning
from miner.train.settings.arms import PairsArm
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from miner.train.settings.options import TrainOptions, is_vit
from miner.train.settings.plan import RunPlan

CONFIG_FILE = "config.yaml"
_NOT_MEASURED = ("step", "epoch", "lr", "knn")
_WEIGHTS = (BACKBONE_FILE, BEST_FILE, PROJECTOR_FILE, TEACHER_FILE)
_RUN_FILES = (*_WEIGHTS, DESCRIPTION_FILE, METRICS_FILE, CONFIG_FILE, *GRAPH_FILES)


def run_files(folder: Path) -> list[Path]:
    """The files of a finished run that are the same bytes on every run; not every run has all kinds."""
    return [path for name in _RUN_FILES if (path := folder / name).exists()]


def pretrain(options: TrainOptions, inputs: Inputs, folder: Path, start: Path | None = None) -> tuple[Record, Record]:
    """Do all of a run's work, or what is left of it.

    Args:
        options: as asked.
        inputs: images and pairs.
        folder: of the run.
        start: weights for the backbone; None for random ones.
    Returns:
        The record of the run, free of anything that varies between equal runs, and what `run_loop` measured of this process. The
        record is empty on all but the first of several processes, which alone writes.
    """
    device = own_device(resolve_device(options.device))
    if device.type == "cpu":
        keep_freed_memory()
    labelled = labelled_part(inputs, options.limit) if options.knn_epochs else None
    images, pairs, labels, plan = prepare(options, inputs, device)
    method = build_method(plan, start).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if options.compile:
        from miner.train.methods.compiling import compile_networks

        compile_networks(method, device)
    config = {**plan.plain(), "source": inputs.spec}
    if rank() == 0:
        write_bytes(folder / CONFIG_FILE, yaml.safe_dump(config, sort_keys=False).encode())
    for line in [*planning.announcements(options, plan), *method.notes()]:
        print(line, file=sys.stderr)
    index = PairIndex.of(pairs.rows, plan.images, pairs.anchors_only) if plan.needs_index else None
    if index is not None and plan.graph_prior:
        method.take_prior(index)
    images = to_device(images, device) if isinstance(images, Tensor) else images
    knn = KnnObserver(plan, labelled, options.knn_epochs, device, options.workers) if labelled else None
    measured = run_loop(
        plan,
        method,
        images,
        CombinedSampler(
            plan.images,
            pairs.rows if plan.pairs_are_items else pairs.rows[:0],
            plan.batch_size,
            plan.seed,
            pairs.anchors_only,
        ),
        folder,
        device=device,
        checkpoint_steps=options.checkpoint_steps,
        index=index,
        observers=[RankMeObserver(plan, images, device), PurityObserver(labels), *([knn] if knn else [])],
    )
    if rank() > 0:
        return {}, measured
    save_backbone(folder / BACKBONE_FILE, method.backbone)
    save_description(folder / DESCRIPTION_FILE, config)
    if (projector := method.projector()) is not None:
        save_projector(folder / PROJECTOR_FILE, projector)
    previous(folder / "checkpoints" / "last.pt").unlink(missing_ok=True)
    if isinstance(method, GraphNNCLR):
        save_backbone(folder / TEACHER_FILE, method.teacher[0])
        save_graphs(folder, method, [entry.key for entry in open_images(inputs)[1][: options.limit]])
    record = {**_record(plan, inputs, folder), **pairs.facts(labels)}
    if knn is not None:
        method.backbone.load_state_dict(knn.best_weights)
        save_backbone(folder / BEST_FILE, method.backbone)
        record["online_knn"] = knn.record()
    return record, measured


def prepare(options: TrainOptions, inputs: Inputs, device: torch.device) -> tuple[Canvases, ArmPairs, Tensor, RunPlan]:
    """All that decides a run.

    Returns:
        Images, uint8 (images, 3, canvas, canvas) on the CPU or in their files; pairs among them; their labels,
        int64 (images,), -1 where unknown; and every number of the run.
    """
    source, entries = open_images(inputs)
    mined = pair_rows(inputs, [entry.key for entry in entries], options.limit, options.pairs_per_anchor)
    entries = entries[: options.limit]
    labels = torch.tensor([-1 if entry.label is None else entry.label for entry in entries])
    arm = PairsArm.parse(options.pairs_arm)
    pairs = draw_pairs(arm, mined, labels, options.seed)
    pair_items, arm_items = (len(mined), len(pairs.rows)) if options.pairs_are_items else (0, 0)
    batch_size = planning.choose_batch_size(options.batch_size, len(entries), pair_items)
    planning.check_shares(batch_size, world_size(), options.accumulate)
    steps = options.epochs * ((len(entries) + pair_items) // batch_size)
    steps_per_epoch = (len(entries) + arm_items) // batch_size
    side = typical_side(source, entries)
    image_size = options.image_size or nearest_image_size(side)
    canvas = canvas_side(image_size, side)
    images = hold_images(options.data, source, entries, canvas, options.workers)
    mean, std = channel_statistics(images)
    recipe = METHOD_DEFAULTS[options.method]
    settings = {name: getattr(options, name) for name in recipe.settings}
    if options.queue_size is not None:
        keys_per_step = batch_size * (2 if options.symmetric else 1)
        settings["queue_size"] = planning.choose_queue_size(options.queue_size, len(entries), keys_per_step)
    first_layers: dict[str, Any] = (
        {
            "stem": None,
            "patch_size": planning.choose_patch_size(options.patch_size, image_size),
            "drop_path": options.drop_path,
        }
        if is_vit(options.backbone)
        else {"stem": planning.choose_stem(options.stem, image_size)}
    )
    plan = RunPlan(
        method=options.method,
        backbone=options.backbone,
        image_size=image_size,
        canvas=canvas,
        mean=mean,
        std=std,
        images=len(entries),
        pairs_arm=arm.name,
        uses_labels=arm.uses_labels,
        pairs=len(pairs.rows),
        epochs=math.ceil(steps / steps_per_epoch),
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        steps=steps,
        lr_peak=planning.peak_lr(options.lr, batch_size),
        optimizer=options.optimizer,
        trust_coefficient=options.trust_coefficient,
        trust_clip=options.trust_clip if options.optimizer == "lars" else None,
        warmup_steps=options.warmup_epochs * (steps // options.epochs),
        weight_decay=options.weight_decay,
        decay_on=options.decay_on,
        final_weight_decay=options.final_weight_decay,
        clip_norm=options.clip_norm,
        accumulate=options.accumulate,
        norm_splits=_norm_splits(options, batch_size // options.accumulate),
        precision="bf16" if resolve_precision(options.precision, device) == torch.bfloat16 else "fp32",
        seed=options.seed,
        partners=options.partners,
        pair_weight=options.pair_weight,
        mask_known_positives=options.mask_known_positives,
        **first_layers,
        **planning.choose_crops(options, image_size, first_layers["stem"], first_layers.get("patch_size")),
        **settings,
    )
    return images, pairs, labels, plan


def _norm_splits(options: TrainOptions, part_size: int) -> int:
    """Into how many parts of `part_size` items normalisation divides what it sees at once."""
    if METHOD_DEFAULTS[options.method].split_norm and not is_vit(options.backbone):
        return count_splits(part_size, world_size())
    return 1 if options.sync_norm else world_size()


def _record(plan: RunPlan, inputs: Inputs, folder: Path) -> Record:
    last_epoch = [line for line in read_metrics(folder / METRICS_FILE) if line["epoch"] == plan.epochs]
    names = [name for name in last_epoch[-1] if name not in _NOT_MEASURED]
    return {
        **plan.plain(),
        "source": inputs.spec,
        "classes": inputs.classes,
        "items": plan.items,
        **{f"final_{name}": _mean([line.get(name) for line in last_epoch]) for name in names},
    }


def _mean(values: list[float | None]) -> float | None:
    """The mean of the finite values to six digits, if there is one."""
    known = [value for value in values if value is not None]
    return float(f"{statistics.fmean(known):.6g}") if known else None
