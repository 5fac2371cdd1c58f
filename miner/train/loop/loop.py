"""The training loop. It knows items, views, steps and files; the method alone knows what is learned."""

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from miner.engine import Progress, Record
from miner.images.ragged import HeldImages
from miner.learning.checkpoint import load_checkpoint, save_checkpoint
from miner.learning.parallel.collectives import average_step, rank
from miner.learning.randomness import generator_for, seeded
from miner.train.data.batch import Batch
from miner.train.data.batch_maker import BatchMaker
from miner.train.data.pair_index import PairIndex
from miner.train.data.sampler import CombinedSampler
from miner.train.loop.loss_guard import LossGuard
from miner.train.loop.metrics import MetricsLog, finite
from miner.train.loop.optimizer import ScheduledOptimizer, sum_gradients
from miner.train.loop.stopwatch import Stopwatch, peak_memory_mb
from miner.train.methods import Method
from miner.train.observers.base import Observer
from miner.train.settings.plan import RunPlan

LOG_STEPS = 10
_LAPS = ("data", "learn")


def run_loop(
    plan: RunPlan,
    method: Method,
    images: HeldImages,
    sampler: CombinedSampler,
    folder: Path,
    *,
    device: torch.device,
    checkpoint_interval_s: float = 120.0,
    index: PairIndex | None = None,
    observers: Sequence[Observer] = (),
) -> Record:
    """Train from the last checkpoint, if any, to the last step. All processes have the same state; the first of them writes.

    Args:
        method: the method, on `device`; it is trained in place.
        images: uint8 (images, 3, height, width) or ragged, on any device, or in their files.
        sampler: which images each step shows.
        folder: the folder of the run; metrics.jsonl, TensorBoard events and checkpoints/last.pt are written there.
        checkpoint_interval_s: most seconds between checkpoints, for machines that take long for `checkpoint_steps`.
        index: which images are partners, if the plan needs it.
        observers: measure the method at the end of each epoch; their numbers join the metrics.
    Returns:
        Of this process: `items_per_s` (an item is two views), `data_wait` (the share of its time that views took instead of
        learning), and `peak_memory_mb`.
    Raises:
        MinerError: the loss was not finite three times in a row, or in the last step.
    """
    checkpoint = folder / "checkpoints" / "last.pt"
    optimizer, make_batch = ScheduledOptimizer(plan, method), BatchMaker(plan, images, device, index, method.draw)
    done = load_checkpoint(checkpoint, method, optimizer.optimizer, observers)
    make_batch.look_ahead(sampler, done)
    if done:
        print(f"continuing from step {done:,} of {plan.steps:,}", file=sys.stderr)
    guard, watch = LossGuard(plan), Stopwatch(device)
    saved_at, shown = time.monotonic(), ""
    method.train()
    with (
        nullcontext() if rank() else MetricsLog(folder, done) as metrics,
        Progress("train", plan.steps * plan.batch_size, "items", finished=done * plan.batch_size) as progress,
        _convolutions(plan.options.deterministic),
    ):
        for step, rows in enumerate(sampler.batches(done, plan.steps), done + 1):
            lr, last = float(optimizer.lrs[step - 1]), step == plan.steps
            epoch_ends = step % plan.steps_per_epoch == 0 or last
            measured = step % LOG_STEPS == 0 or epoch_ends
            watch.lap("rest")
            anchors, sampled = rows
            positives = method.choose_positives(
                anchors, sampled, generator_for(plan.options.seed, "positives", step - 1)
            )
            batch = replace(make_batch((anchors, positives), step - 1), measured=measured)
            watch.lap("data")
            outcome = learn_step(plan, method, optimizer, batch)
            watch.lap("learn")
            guard.check_previous(step, lr, outcome["loss"])
            if metrics and measured:
                of_machine = _of_machine(progress.rate, watch.share("data", _LAPS), device)
                metrics.add(_line(plan, step, lr, outcome, observers if epoch_ends else (), method), of_machine)
                shown = f", {100 * of_machine['data_wait']:.0f} % data, {of_machine['peak_memory_mb']:,.0f} MB"
            due = step % plan.options.checkpoint_steps == 0 or time.monotonic() - saved_at > checkpoint_interval_s
            if (due or last) and guard.check_now() and metrics:
                metrics.sync()
                save_checkpoint(checkpoint, step, method, optimizer.optimizer, observers)
                saved_at = time.monotonic()
            progress.advance(plan.batch_size, f"{_place(plan, step)}, {guard.note}lr {lr:.3g}{shown}")
        return _of_machine(progress.rate, watch.share_of_all("data", _LAPS), device)


def _place(plan: RunPlan, step: int) -> str:
    epoch = (step - 1) // plan.steps_per_epoch + 1
    return f"epoch {epoch:,} of {plan.options.epochs:,}, step {step:,} of {plan.steps:,}"


def _convolutions(deterministic: bool) -> AbstractContextManager[None]:
    """How cuDNN chooses its algorithms: those that repeat their bits, or the fastest. Its own default for float32 is TF32."""
    flags = torch.backends.cudnn.flags(
        enabled=True, benchmark=not deterministic, deterministic=deterministic, allow_tf32=False
    )
    return cast(AbstractContextManager[None], flags)


def learn_step(plan: RunPlan, method: Method, optimizer: ScheduledOptimizer, batch: Batch) -> dict[str, Tensor]:
    """Update the method on a batch. Returns what the method and the optimizer tell, float32 scalars without graph."""
    optimizer.prepare(batch.step)
    precision = torch.autocast(batch.first.device.type, torch.bfloat16, enabled=plan.precision == "bf16")
    # Stochastic depth draws from torch's own generators.
    with precision, seeded(plan.options.seed, "layers", batch.step, rank()):
        outcome = sum_gradients(method, batch, plan.options.accumulate)
    average_step(method, outcome)
    method.after_backward(batch.step)
    return outcome | optimizer.apply()


def _line(
    plan: RunPlan, step: int, lr: float, outcome: dict[str, Tensor], observers: Sequence[Observer], method: Method
) -> Record:
    """The numbers of a step, from 1, and of the observers."""
    epoch = (step - 1) // plan.steps_per_epoch + 1
    numbers = {name: value.item() for name, value in outcome.items()}
    for observer in observers:
        numbers |= observer.on_epoch_end(step, epoch, method)
    return {"step": step, "epoch": epoch, **{name: finite(value) for name, value in {"lr": lr, **numbers}.items()}}


def _of_machine(items_per_s: float, data_wait: float, device: torch.device) -> Record:
    return {"items_per_s": items_per_s, "data_wait": data_wait, "peak_memory_mb": peak_memory_mb(device)}
