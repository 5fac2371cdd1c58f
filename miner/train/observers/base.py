"""What looks at a method when an epoch ends. The loop calls it, logs what it says, and knows nothing else of it."""

from abc import ABC, abstractmethod
from typing import Any

from miner.train.methods import Method


class Observer(ABC):
    """Measures a method without changing it; what it must not forget is in its state dict, which is in the checkpoint."""

    @abstractmethod
    def on_epoch_end(self, step: int, epoch: int, method: Method) -> dict[str, float]:
        """Measure.

        Args:
            step, epoch: how many have been done, from 1.
            method: in train mode, and left so.
        Returns:
            Numbers for the metrics, by name; none in an epoch that is not measured.
        """

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and texts only."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; one that keeps none gets an empty one."""
        assert not state
