"""What processes exchange."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.cuda import _get_device_index

from miner.learning.parallel import collectives
from miner.learning.parallel.collectives import average_in_place, gather_rows, own_device, rank, rows_of_this_process
from miner.machine.device import resolve_device
from tests.learning.parallel.spawned import on_processes


def lopsided_gradient() -> list[Tensor]:
    """Of rows that each process uses in a way of its own, alone and gathered."""
    rows = torch.arange(6.0).view(3, 2).add(6.0 * rank()).requires_grad_()
    gathered = gather_rows(rows)
    (gathered.square() * (rank() + 1)).sum().backward()
    return [gathered.detach(), rows.grad]


def test_gathered_rows_collect_the_gradient_of_every_process(tmp_path: Path) -> None:
    rows, both = torch.arange(12.0).view(6, 2), on_processes(2, lopsided_gradient, tmp_path)
    for gathered, _ in both:
        assert torch.equal(gathered, rows)
    gradient = torch.cat([gradient for _, gradient in both])
    assert torch.equal(gradient, 2 * rows * (1 + 2))


def test_alone_nothing_is_exchanged() -> None:
    rows = torch.ones(2, 3)
    average_in_place([rows])
    assert gather_rows(rows) is rows and rows_of_this_process(rows) is rows and torch.equal(rows, torch.ones(2, 3))


@pytest.mark.parametrize(
    ("asked", "gpus", "processes", "index"),
    [
        *(("auto", 1, 1, 0), ("cuda", 4, 1, 0), ("cuda:2", 4, 1, 2)),
        *(("auto", 4, 4, 3), ("cuda", 1, 4, 0)),  # on one machine, and on workers that see one GPU each
    ],
)
def test_a_gpu_has_an_index_where_torch_needs_one(
    asked: str, gpus: int, processes: int, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: chosen.append(_get_device_index(device)))
    monkeypatch.setattr(collectives, "world_size", lambda: processes)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert own_device(resolve_device(asked)) == torch.device("cuda", index) and chosen == [index]
