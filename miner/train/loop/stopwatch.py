"""How a run spends its time, and how much memory it takes."""

import time

import torch

from miner.machine.memory import peak_bytes

_MIN_S = 1e-9

Mark = float | torch.cuda.Event


class Stopwatch:
    """Time by the parts of a step.

    On a GPU, times are those of its stream: events mark them, and the CPU waits for events only when `share` is called.

    Args:
        device: that does the work.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._laps: list[tuple[str, Mark]] = []
        self._start = self._now()
        self._whole: dict[str, float] = {}

    def lap(self, part: str) -> None:
        """Count the time since the last lap as that of `part`."""
        self._laps.append((part, self._now()))

    def share(self, part: str, among: tuple[str, ...]) -> float:
        """Time of one part over that of the parts `among`, since the last call, in [0, 1]; 0 if no time has passed."""
        spent = self._take_laps()
        return spent.get(part, 0.0) / max(sum(spent.get(name, 0.0) for name in among), _MIN_S)

    def share_of_all(self, part: str, among: tuple[str, ...]) -> float:
        """Time of one part over that of the parts `among`, since the start, in [0, 1]."""
        self._take_laps()
        return self._whole.get(part, 0.0) / max(sum(self._whole.get(name, 0.0) for name in among), _MIN_S)

    def _take_laps(self) -> dict[str, float]:
        spent: dict[str, float] = {}
        if self._laps and self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        for part, mark in self._laps:
            passed_s = _between(self._start, mark)
            spent[part] = spent.get(part, 0.0) + passed_s
            self._whole[part] = self._whole.get(part, 0.0) + passed_s
            self._start = mark
        self._laps.clear()
        return spent

    def _now(self) -> Mark:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event


def peak_memory_mb(device: torch.device) -> int:
    """Peak memory: on a GPU that of torch's tensors, elsewhere that of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) >> 20
    return peak_bytes() >> 20


def _between(earlier: Mark, later: Mark) -> float:
    """Seconds."""
    if isinstance(earlier, float) or isinstance(later, float):
        assert isinstance(earlier, float) and isinstance(later, float)
        return later - earlier
    return float(earlier.elapsed_time(later)) / 1e3
