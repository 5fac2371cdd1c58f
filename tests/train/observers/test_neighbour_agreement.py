import math

import torch

from miner.train.observers.neighbour_agreement import purity


def test_purity_is_the_share_of_neighbours_of_the_same_known_label() -> None:
    labels = torch.tensor([0, 0, 1, 1, -1])
    neighbours = torch.tensor([[1, 2], [0, 4], [3, -1], [0, 1], [0, 1]])
    # Known: 0-1, 0-2, 1-0, 2-3, 3-0, 3-1; of one label: 0-1, 1-0, 2-3.
    assert purity(neighbours, labels) == 0.5


def test_without_labels_there_is_no_purity() -> None:
    assert math.isnan(purity(torch.tensor([[1], [0]]), torch.tensor([-1, -1])))
