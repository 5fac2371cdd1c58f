"""How many neighbours are of the same class, while a run goes on. The method never sees the labels."""

import torch
from torch import Tensor

from miner.train.methods import Method
from miner.train.methods.graphnnclr import GraphNNCLR
from miner.train.observers.base import Observer


class PurityObserver(Observer):
    """Neighbour purity of both graphs of GraphNNCLR: of the edges that each image's newest list gives, the share that joins equal
    labels. It is for people to watch; nothing is decided by it.

    Args:
        labels: of the images, int64 (images,), -1 where unknown.
    """

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels

    def on_epoch_end(self, step: int, epoch: int, method: Method) -> dict[str, float]:
        if not isinstance(method, GraphNNCLR):
            return {}
        banks = {"purity": method.teacher_bank, "student_purity": method.student_bank}
        return {name: purity(bank.newest(method.graph_edges).cpu(), self.labels) for name, bank in banks.items()}


def purity(neighbours: Tensor, labels: Tensor) -> float:
    """Share of neighbours with the label of their image, among those where both are known; nan without any.

    Args:
        neighbours: of each image, int64 (n, k), -1 for none.
        labels: int64 (n,), -1 where unknown.
    """
    theirs = torch.where(neighbours >= 0, labels[neighbours], -1)
    known = (theirs >= 0) & (labels >= 0).unsqueeze(1)
    return (theirs == labels.unsqueeze(1))[known].float().mean().item()
