"""Observers measure a method when an epoch ends. The loop calls them and logs their numbers, and knows nothing else of them."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor

from miner.train.methods import Method


class Observer(ABC):
    """Measures a method without changing it. Its state dict is part of the checkpoint."""

    @abstractmethod
    def on_epoch_end(self, step: int, epoch: int, method: Method) -> dict[str, float]:
        """Measure.

        Args:
            step, epoch: how many are done, from 1.
            method: the method, in train mode, which must not change.
        Returns:
            Numbers for the metrics, by name; none in an epoch that is not measured.
        """

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and texts only."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        assert not state


class MethodObserver(Observer):
    """The metrics that a method measures by itself, with `Method.observe`. They are for people; they decide nothing.

    Args:
        labels: the labels of the images, int64 (images,), -1 where unknown. The method sees them here alone, never to learn.
    """

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels

    def on_epoch_end(self, step: int, epoch: int, method: Method) -> dict[str, float]:
        return method.observe(self.labels)
