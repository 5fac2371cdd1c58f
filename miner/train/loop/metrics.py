"""metrics.jsonl: a line of numbers every few steps, with the same bytes whether or not the run was interrupted."""

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from miner.engine import write_bytes

METRICS_FILE = "metrics.jsonl"

Line = dict[str, Any]


class MetricsLog:
    """Appends lines of numbers to a JSON-lines file and to TensorBoard. The lines hold no times.

    Args:
        folder: the folder of the run; metrics.jsonl and the TensorBoard events are written there.
        step: steps already done. Later lines, of a run that was killed after its last checkpoint, are dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / METRICS_FILE
        self.step = step
        self._events: Any = None

    def __enter__(self) -> Self:
        from torch.utils.tensorboard import SummaryWriter

        kept = [line for line in read_metrics(self.path) if line["step"] <= self.step]
        write_bytes(self.path, b"".join(_encoded(line) for line in kept))
        self._file = self.path.open("ab")
        with suppress(UnicodeEncodeError):  # TensorBoard writes to no folder whose name is not UTF-8
            self._events = SummaryWriter(str(self.path.parent), purge_step=self.step + 1)
        return self

    def add(self, line: Line, measured: Mapping[str, float]) -> None:
        """Write one line; what was measured of this process goes to TensorBoard only."""
        self._file.write(_encoded(line))
        self._file.flush()
        for name, value in {**line, **measured}.items():
            if name != "step" and value is not None and self._events is not None:
                self._events.add_scalar(name, value, line["step"])

    def sync(self) -> None:
        """Write every line to the disk. A checkpoint needs the lines of all its steps."""
        os.fsync(self._file.fileno())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._events is not None:
            self._events.close()


def read_metrics(path: Path) -> list[Line]:
    """All whole lines of a metrics file; none if there is no file. An incomplete last line is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1] if line]


def finite(value: float) -> float | None:
    """A number to seven digits; None, which JSON can hold, for nan and infinities."""
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _encoded(line: Line) -> bytes:
    return json.dumps(line, allow_nan=False).encode() + b"\n"
