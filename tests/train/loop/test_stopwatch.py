import pytest
import torch

from miner.train.loop.stopwatch import Stopwatch, peak_memory_mb

CPU = torch.device("cpu")
BOTH = ("data", "learn")


def test_shares_are_of_the_time_between_laps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 11.0, 14.0, 24.0, 25.0, 26.0])
    monkeypatch.setattr("miner.train.loop.stopwatch.time.perf_counter", lambda: next(clock))
    watch = Stopwatch(CPU)
    assert watch.share("data", BOTH) == 0
    for part in ("data", "learn", "other"):
        watch.lap(part)
    assert watch.share("data", BOTH) == pytest.approx(1 / 4)
    watch.lap("data")
    assert watch.share("data", BOTH) == 1.0
    watch.lap("learn")
    assert watch.share("data", BOTH) == 0.0 and watch.share_of_all("data", BOTH) == pytest.approx(2 / 6)


def test_peak_memory_stays_when_memory_is_freed() -> None:
    before = peak_memory_mb(CPU)
    ballast = torch.ones(64 << 18)
    after = peak_memory_mb(CPU)
    del ballast
    # The kernel counts pages per processor, so that a peak is exact to some MB only.
    assert 10 < before <= after + 8 and after <= peak_memory_mb(CPU) + 8
