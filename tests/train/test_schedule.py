import pytest
import torch

from miner.train.schedule import cosine


def test_equals_torchs_cosine_schedule() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.06)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    ours = cosine(0.06, 50)
    for step in range(50):
        assert ours[step] == pytest.approx(oracle.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        oracle.step()
