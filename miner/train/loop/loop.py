"""The training loop. It knows items, views, steps and files; the method alone knows what is learned."""

import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

from miner.engine import Progress, Record
from miner.images.canvases import Canvases
from miner.learning.checkpoint import load_checkpoint, save_checkpoint
from miner.learning.parallel.collectives import average_step, rank
from miner.learning.randomness import generator_for, seeded
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
    images: Canvases,
    sampler: CombinedSampler,
    folder: Path,
    *,
    device: torch.device,
    checkpoint_interval_s: float = 120.0,
    index: PairIndex | None = None,
    observers: Sequence[Observer] = (),
) -> Record:
    """Train from the last checkpoint, if there is one, to the last step.

    Several processes share each batch, and all have the same state after each step; the first of them writes.

    Args:
        plan: the plan of the run.
        method: on `device`; it is trained in place.
        images: uint8 (images, 3, canvas, canvas), on any device or in their files.
        sampler: which images each step shows.
        folder: the folder of the run; metrics.jsonl, TensorBoard events and checkpoints/last.pt are written there.
        device: where to compute.
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
    optimizer = ScheduledOptimizer(plan, method)
    make_batch = BatchMaker(plan, images, device, index)
    done = load_checkpoint(checkpoint, method, optimizer.optimizer, observers)
    make_batch.look_ahead(sampler, done)
    if done:
        print(f"continuing from step {done:,} of {plan.steps:,}", file=sys.stderr)
    guard = LossGuard(plan)
    precision = torch.autocast(device.type, torch.bfloat16, enabled=plan.precision == "bf16")
    saved_at = time.monotonic()
    watch, shown = Stopwatch(device), ""
    method.train()
    with (
        nullcontext() if rank() else MetricsLog(folder, done) as metrics,
        Progress("train", plan.steps * plan.batch_size, "items", finished=done * plan.batch_size) as progress,
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        for step in range(done, plan.steps):
            epoch, position = divmod(step, plan.steps_per_epoch)
            if position == 0 or step == done:
                batches = sampler.epoch(epoch)
            watch.lap("rest")
            optimizer.prepare(step)
            lr = float(optimizer.lrs[step])
            anchors, sampled = batches[position]
            positives = method.choose_positives(anchors, sampled, generator_for(plan.options.seed, "positives", step))
            batch = make_batch((anchors, positives), step)
            watch.lap("data")
            # Stochastic depth draws from torch's own generators.
            with precision, seeded(plan.options.seed, "layers", step, rank()):
                outcome = sum_gradients(method, batch, plan.options.accumulate)
            average_step(method, outcome)
            outcome |= optimizer.apply()
            watch.lap("learn")

            guard.check_previous(step + 1, lr, outcome["loss"])
            last = step + 1 == plan.steps
            epoch_ends = position + 1 == plan.steps_per_epoch or last
            if metrics and ((step + 1) % LOG_STEPS == 0 or epoch_ends):
                numbers = {name: finite(value.item()) for name, value in outcome.items()}
                for observer in observers if epoch_ends else ():
                    found = observer.on_epoch_end(step + 1, epoch + 1, method)
                    numbers |= {name: finite(value) for name, value in found.items()}
                line = {"step": step + 1, "epoch": epoch + 1, "lr": finite(lr), **numbers}
                measured = _measured(progress.rate, watch.share("data", _LAPS), device)
                metrics.add(line, measured)
                shown = f", {100 * measured['data_wait']:.0f} % data, {measured['peak_memory_mb']:,.0f} MB"
            due = (step + 1) % plan.options.checkpoint_steps == 0 or time.monotonic() - saved_at > checkpoint_interval_s
            if (due or last) and guard.check_now() and metrics:
                metrics.sync()
                save_checkpoint(checkpoint, step + 1, method, optimizer.optimizer, observers)
                saved_at = time.monotonic()
            progress.advance(plan.batch_size, f"{guard.note}lr {lr:.3g}{shown}")
        return _measured(progress.rate, watch.share_of_all("data", _LAPS), device)


def _measured(items_per_s: float, data_wait: float, device: torch.device) -> Record:
    return {"items_per_s": items_per_s, "data_wait": data_wait, "peak_memory_mb": peak_memory_mb(device)}
