import pytest
import torch

from miner.learning.schedule import cosine, cosine_between


def test_equals_torchs_cosine_schedule() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.06)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    ours = cosine(0.06, 50)
    for step in range(50):
        assert ours[step] == pytest.approx(oracle.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        oracle.step()


def test_warmup_rises_to_the_peak_and_the_cosine_follows() -> None:
    lrs = cosine(0.6, 30, warmup_steps=10)
    assert lrs[:10] == pytest.approx([0.06 * step for step in range(1, 11)])
    assert lrs[10:] == pytest.approx(cosine(0.6, 20)) and len(lrs) == 30


def test_a_decay_moves_from_its_start_towards_its_end() -> None:
    decays = cosine_between(0.04, 0.4, 100)
    assert decays[0] == pytest.approx(0.04) and decays[50] == pytest.approx(0.22) and 0.39 < decays[-1] < 0.4
    assert (cosine_between(5e-4, 5e-4, 9) == 5e-4).all()
