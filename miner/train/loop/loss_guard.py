"""What stops a run whose loss diverges."""

import math

import torch
from torch import Tensor

from miner.errors import MinerError
from miner.text import counted
from miner.train.settings.plan import RunPlan

_MAX_BAD_LOSSES = 3


class LossGuard:
    """Stops a run whose loss is no longer finite.

    The guard reads a loss one step late. On a GPU, the loss goes into pinned memory behind the work of its own step, and the CPU
    waits for that copy alone: the step after it is queued already, so the GPU never runs dry.
    """

    def __init__(self, plan: RunPlan) -> None:
        self.plan = plan
        self.bad = 0
        self.last_loss = math.nan
        self._pending: tuple[int, float, Tensor, torch.cuda.Event | None] | None = None

    @property
    def note(self) -> str:
        """The last loss that was read, for the progress display."""
        return "" if math.isnan(self.last_loss) else f"loss {self.last_loss:.3f}, "

    def check_previous(self, step: int, lr: float, loss: Tensor) -> None:
        """Read the loss of the step before, and keep this one for later."""
        self.check_now()
        self._pending = (step, lr, *_copied(loss))

    def check_now(self) -> bool:
        """Read the loss that was kept, and return whether it is finite.

        Raises:
            MinerError: it is the third loss in a row that is not finite, or the last one of the run.
        """
        if self._pending is not None:
            step, lr, loss, copied = self._pending
            self._pending = None
            if copied is not None:
                copied.synchronize()
            self.last_loss = loss.item()
            self.bad = 0 if math.isfinite(self.last_loss) else self.bad + 1
            # A result must not hold weights that a bad last step may have damaged.
            if self.bad == _MAX_BAD_LOSSES or (self.bad and step == self.plan.steps):
                raise MinerError(self._explanation(step, lr))
        return self.bad == 0

    def _explanation(self, step: int, lr: float) -> str:
        steps = f"{counted(self.bad, 'step')} in a row, up to step" if self.bad > 1 else "step"
        method, temperature = self.plan.options.method, self.plan.settings.get("temperature")
        soft, hint = (f", temperature {temperature:g}", " or a higher --temperature") if temperature else ("", "")
        return (
            f"The loss of {method} was not finite for {steps} {step} of {self.plan.steps} (lr {lr:.3g}{soft}, "
            f"{self.plan.precision}). The learning rate is probably too high for a batch of {self.plan.batch_size}: train again "
            f"with a lower --lr and --force. If that does not help, try --precision fp32{hint}."
        )


def _copied(loss: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """A loss for the CPU, and the event after which it is there; no event where the loss is on the CPU."""
    if loss.device.type != "cuda":
        return loss, None
    held = torch.empty((), dtype=loss.dtype, pin_memory=True).copy_(loss, non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(loss.device))
    return held, event
