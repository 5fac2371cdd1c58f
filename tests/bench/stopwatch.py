"""How many items a second a training loop gets through, without its first steps."""

import time

import torch


class EnoughError(Exception):
    """There is nothing more to measure."""


class Stopwatch:
    """Told of the beginning of each step; ends the loop by an exception when it has seen enough.

    Args:
        warm_up: steps that do not count.
        seconds: how long to measure at least.
        least: how many steps to measure at least.
    """

    def __init__(self, warm_up: int, seconds: float, least: int) -> None:
        self.warm_up, self.seconds, self.least = warm_up, seconds, least
        self.begun: list[float] = []

    def step(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.begun.append(time.perf_counter())
        counted = self.begun[self.warm_up :]
        if len(counted) > self.least and counted[-1] - counted[0] >= self.seconds:
            raise EnoughError

    def items_per_s(self, batch_size: int) -> float:
        counted = self.begun[self.warm_up :]
        return (len(counted) - 1) * batch_size / (counted[-1] - counted[0])
