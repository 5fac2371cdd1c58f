"""One run from images on disk to a backbone on disk."""

import statistics
import sys
from pathlib import Path
from typing import NamedTuple

import torch
import yaml
from torch import Tensor

from miner.artifacts.runs.inputs import Inputs
from miner.artifacts.runs.manifest import BACKBONE_FILE, BEST_FILE, DESCRIPTION_FILE, PROJECTOR_FILE
from miner.artifacts.runs.networks import save_description, save_projector
from miner.engine import Record, write_bytes
from miner.engine.heap import keep_freed_memory
from miner.errors import MinerError
from miner.images.ragged import HeldImages, RaggedImages, to_device
from miner.images.stream import ImagesAhead
from miner.learning.networks.weights import save_weights
from miner.learning.parallel.collectives import own_device, rank
from miner.machine.device import resolve_device
from miner.train.data.pair_index import PairIndex
from miner.train.data.sampler import CombinedSampler
from miner.train.loop.loop import run_loop
from miner.train.loop.metrics import METRICS_FILE, read_metrics
from miner.train.methods import Method, build_method
from miner.train.observers.base import MethodObserver
from miner.train.observers.knn import KnnObserver, labelled_part
from miner.train.observers.rankme import RankMeObserver
from miner.train.prepare import PreparedRun, prepare_run
from miner.train.settings.announcements import announcements
from miner.train.settings.options import TrainOptions

CONFIG_FILE = "config.yaml"
CHECKPOINT = Path("checkpoints") / "last.pt"
_NOT_MEASURED = ("step", "epoch", "lr", "knn")


class Pretrained(NamedTuple):
    """The result of a run, without anything that differs between equal runs, and what `run_loop` measured of this process.

    Only the first of several processes has a record and files; files are paths in the folder of the run.
    """

    record: Record
    files: list[str]
    measured: Record


def pretrain(options: TrainOptions, inputs: Inputs, folder: Path, start: Path | None = None) -> Pretrained:
    """Do all the work of a run, or what is left of it.

    Args:
        inputs: images and pairs.
        start: weights for the backbone; None for random ones.
    Raises:
        MinerError: the run was begun by a version that cut views otherwise; and what `prepare_run` and `run_loop` raise.
    """
    _refuse_central_squares(folder)
    device = own_device(resolve_device(options.device))
    if device.type == "cpu":
        keep_freed_memory()
    labelled = labelled_part(inputs, options.limit) if options.knn_epochs else None
    run = prepare_run(options, inputs, device)
    plan = run.plan
    method = build_method(plan, start).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if options.compile:
        from miner.train.methods.compiling import compile_networks

        compile_networks(method, device)
    config = {**plan.plain(), "source": inputs.spec}
    if rank() == 0:
        write_bytes(folder / CONFIG_FILE, yaml.safe_dump(config, sort_keys=False).encode())
    for line in [*announcements(plan), *method.notes()]:
        print(line, file=sys.stderr)
    pairs = run.pairs
    index = None
    if plan.needs_index:
        index = PairIndex.of(pairs.rows, plan.images, pairs.anchors_only, pairs.weights)
        method.take_index(index)
    order = (plan.batch_size, options.seed, pairs.anchors_only, pairs.weights if plan.pair_items else None)
    sampler = CombinedSampler(plan.own_items, pairs.rows[: plan.pair_items], *order)
    images = _near(run.images, device, options.workers)
    knn = KnnObserver(plan, labelled, device) if labelled else None
    measured = run_loop(
        plan,
        method,
        images,
        sampler,
        folder,
        device=device,
        index=index,
        observers=[RankMeObserver(plan, images, device), MethodObserver(run.labels), *([knn] if knn else [])],
    )
    if rank() > 0:
        return Pretrained({}, [], measured)
    files = [
        folder / CONFIG_FILE,
        folder / METRICS_FILE,
        *_save(method, folder, config),
        *method.save(folder, run.keys),
    ]
    record = {**_record(run, inputs, folder), **run.pairs.facts(run.labels), **_work(run, method)}
    if knn is not None:
        method.backbone.load_state_dict(knn.best_weights)
        save_weights(folder / BEST_FILE, method.backbone)
        files.append(folder / BEST_FILE)
        record["online_knn"] = knn.record()
    return Pretrained(record, [path.relative_to(folder).as_posix() for path in files], measured)


def _refuse_central_squares(folder: Path) -> None:
    """Earlier versions held the central square of each image. Their config.yaml names its side, the canvas."""
    config = folder / CONFIG_FILE
    if (folder / CHECKPOINT).exists() and config.exists() and "canvas" in yaml.safe_load(config.read_bytes()):
        raise MinerError(
            f"{folder} was begun by an earlier version, which cut views from the central squares of images. Views are now cut from "
            "whole images, so the run cannot be continued. Finish it with the version that began it, or start it anew with --force."
        )


def _near(images: HeldImages, device: torch.device, workers: int) -> HeldImages:
    """The images on the device if they fit there; else threads make those of the next steps ready on the CPU."""
    if not isinstance(images, Tensor | RaggedImages):
        return images
    near = to_device(images, device)
    return near if near.device.type == device.type else ImagesAhead(len(near), near.__getitem__, workers)


def _save(method: Method, folder: Path, config: Record) -> list[Path]:
    save_weights(folder / BACKBONE_FILE, method.backbone)
    save_description(folder / DESCRIPTION_FILE, config)
    files = [folder / BACKBONE_FILE, folder / DESCRIPTION_FILE]
    if (projector := method.projector()) is not None:
        save_projector(folder / PROJECTOR_FILE, projector)
        files.append(folder / PROJECTOR_FILE)
    return files


def _record(run: PreparedRun, inputs: Inputs, folder: Path) -> Record:
    last_epoch = [line for line in read_metrics(folder / METRICS_FILE) if line["epoch"] == run.plan.options.epochs]
    names = [name for name in last_epoch[-1] if name not in _NOT_MEASURED]
    return {
        **run.plan.plain(),
        "source": inputs.spec,
        "classes": inputs.classes,
        "items": run.plan.items,
        **{f"final_{name}": _mean([line.get(name) for line in last_epoch]) for name in names},
    }


def _work(run: PreparedRun, method: Method) -> Record:
    """Views that pass through backbones for an item, and the forward passes of the run if a backward pass counts as two."""
    plan = run.plan
    partners = torch.bincount(run.pairs.rows.flatten(), minlength=plan.images).clamp_max(plan.options.partners)
    crops = plan.options.local_crops * (plan.local_size / plan.image_size) ** 2
    learned, fixed = method.passes(1 + partners.double().mean().item(), crops)
    return {
        "passes_with_gradient": round(learned, 4),
        "passes_without_gradient": round(fixed, 4),
        "forward_passes": round(plan.steps * plan.batch_size * (3 * learned + fixed)),
    }


def _mean(values: list[float | None]) -> float | None:
    """The mean of the finite values to six digits, if there is one."""
    known = [value for value in values if value is not None]
    return float(f"{statistics.fmean(known):.6g}") if known else None
