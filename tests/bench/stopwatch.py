"""How many items a second a training loop gets through, without its first steps."""

import time

import torch


class EnoughError(Exception):
    """There is nothing more to measure."""


def wait() -> None:
    """Until a GPU, if there is one, has done all its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Stopwatch:
    """Told of the beginning of each step; ends the loop by an exception when it has seen enough.

    It waits for a GPU before the first step that counts and after the last one only, so that steps may follow each other as they do
    without it.

    Args:
        warm_up: steps that do not count.
        seconds: how long to measure at least.
        least: how many steps to measure at least.
    """

    def __init__(self, warm_up: int, seconds: float, least: int) -> None:
        self.warm_up, self.seconds, self.least = warm_up, seconds, least
        self.begun: list[float] = []

    def step(self) -> None:
        if len(self.begun) == self.warm_up:
            wait()
        self.begun.append(time.perf_counter())
        counted = self.begun[self.warm_up :]
        if len(counted) > self.least and counted[-1] - counted[0] >= self.seconds:
            wait()
            self.begun[-1] = time.perf_counter()
            raise EnoughError

    def items_per_s(self, batch_size: int) -> float:
        counted = self.begun[self.warm_up :]
        return (len(counted) - 1) * batch_size / (counted[-1] - counted[0])
