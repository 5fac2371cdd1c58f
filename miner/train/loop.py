"""The training loop. It knows items, views, steps and files; what is learned is the method's business."""

import math
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from miner.engine import Progress
from miner.errors import MinerError
from miner.train.checkpoint import load_checkpoint, save_checkpoint
from miner.train.distributed import average_step, rank
from miner.train.methods import Method
from miner.train.metrics import MetricsLog, finite
from miner.train.observer import Observer
from miner.train.pair_index import PairIndex
from miner.train.place import Images
from miner.train.plan import Plan
from miner.train.randomness import generator, seeded
from miner.train.sampler import CombinedSampler
from miner.train.step_batch import StepBatches
from miner.train.updates import Updates

LOG_STEPS = 10
_CHECKPOINT_INTERVAL_S = 120.0
_MOST_BAD_LOSSES = 3


def run_loop(
    plan: Plan,
    method: Method,
    images: Images,
    sampler: CombinedSampler,
    folder: Path,
    *,
    device: torch.device,
    checkpoint_steps: int,
    index: PairIndex | None = None,
    observers: Sequence[Observer] = (),
) -> float:
    """Train from the last checkpoint, if there is one, to the last step.

    Several processes share each batch, and all have the same state after each step; the first of them writes.

    Args:
        plan: of the run.
        method: on `device`; it is trained in place.
        images: uint8 (images, 3, canvas, canvas), anywhere, or in their files.
        sampler: which rows meet in which step.
        folder: of the run; it gets metrics.jsonl, TensorBoard events and checkpoints/last.pt.
        device: where to compute.
        checkpoint_steps: most steps between checkpoints; a slow machine saves every two minutes as well.
        index: partners of the images, where the plan needs them.
        observers: measure the method when an epoch ends; their numbers join the metrics.
    Returns:
        Items per second of this process; an item is two views.
    Raises:
        MinerError: the loss was not finite three times in a row, or at the end.
    """
    checkpoint = folder / "checkpoints" / "last.pt"
    updates = Updates(plan, method)
    make_batch = StepBatches(plan, images, device, index)
    done = load_checkpoint(checkpoint, method, updates.optimizer, observers)
    make_batch.look_ahead(sampler, done)
    if done:
        print(f"continuing from step {done:,} of {plan.steps:,}", file=sys.stderr)
    guard = LossGuard(plan)
    precision = torch.autocast(device.type, torch.bfloat16, enabled=plan.precision == "bf16")
    saved_at = time.monotonic()
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
            updates.prepare(step)
            lr = float(updates.lrs[step])
            anchors, dealt = batches[position]
            positives = method.positives(anchors, dealt, generator(plan.seed, "positives", step))
            batch = make_batch((anchors, positives), step)
            # Stochastic depth draws from torch's own generators.
            with precision, seeded(plan.seed, "layers", step, rank()):
                outcome = method(batch)
            outcome["loss"].backward()
            average_step(method, outcome)
            outcome |= updates.apply()

            guard.check_previous(step + 1, lr, outcome["loss"].detach())
            last = step + 1 == plan.steps
            epoch_ends = position + 1 == plan.steps_per_epoch or last
            if metrics and ((step + 1) % LOG_STEPS == 0 or epoch_ends):
                numbers = {name: finite(value.item()) for name, value in outcome.items()}
                for observer in observers if epoch_ends else ():
                    found = observer.on_epoch_end(step + 1, epoch + 1, method)
                    numbers |= {name: finite(value) for name, value in found.items()}
                line = {"step": step + 1, "epoch": epoch + 1, "lr": finite(lr), **numbers}
                metrics.add(line, progress.rate)
            due = (step + 1) % checkpoint_steps == 0 or time.monotonic() - saved_at > _CHECKPOINT_INTERVAL_S
            if (due or last) and guard.check_now() and metrics:
                metrics.sync()
                save_checkpoint(checkpoint, step + 1, method, updates.optimizer, observers)
                saved_at = time.monotonic()
            progress.advance(plan.batch_size, f"{guard.note}lr {lr:.4f}")
        return progress.rate


class LossGuard:
    """Stop a run whose loss is not finite any more.

    A loss is looked at one step late, so that a GPU need not wait for the CPU.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.bad = 0
        self.last_loss = math.nan
        self._pending: tuple[int, float, Tensor] | None = None

    @property
    def note(self) -> str:
        """The last loss that was looked at, for the progress display."""
        return "" if math.isnan(self.last_loss) else f"loss {self.last_loss:.3f}, "

    def check_previous(self, step: int, lr: float, loss: Tensor) -> None:
        """Look at the loss of the step before, and keep this one for later."""
        self.check_now()
        self._pending = (step, lr, loss)

    def check_now(self) -> bool:
        """Look at the loss that is kept; whether it and those just before it are finite.

        Raises:
            MinerError: it is the third in a row that is not, or the last of the run.
        """
        if self._pending is not None:
            step, lr, loss = self._pending
            self._pending = None
            self.last_loss = loss.item()
            self.bad = 0 if math.isfinite(self.last_loss) else self.bad + 1
            # Weights that a bad last step may have spoilt must not become a result.
            if self.bad == _MOST_BAD_LOSSES or (self.bad and step == self.plan.steps):
                raise MinerError(self._explanation(step, lr))
        return self.bad == 0

    def _explanation(self, step: int, lr: float) -> str:
        steps = f"{self.bad} steps in a row, up to step" if self.bad > 1 else "step"
        soft = self.plan.temperature
        settings = [f"lr {lr:.3g}", *([f"temperature {soft:g}"] if soft else []), self.plan.precision]
        return (
            f"The loss of {self.plan.method} was not finite for {steps} {step} of {self.plan.steps} ({', '.join(settings)}). "
            f"The likely cause is a learning rate that is too high for a batch of {self.plan.batch_size}: train again with a "
            f"lower --lr and --force. If that does not help, try --precision fp32{' or a higher --temperature' if soft else ''}."
        )
