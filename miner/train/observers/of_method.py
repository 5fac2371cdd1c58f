"""The metrics that a method measures by itself."""

from torch import Tensor

from miner.train.methods import Method
from miner.train.observers.base import Observer


class MethodObserver(Observer):
    """The numbers that `Method.observe` gives at the end of each epoch. They are for people; they decide nothing.

    Args:
        labels: the labels of the images, int64 (images,), -1 where unknown. The method looks at them here alone, never to learn.
    """

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels

    def on_epoch_end(self, step: int, epoch: int, method: Method) -> dict[str, float]:
        return method.observe(self.labels)
