"""Which processes share a machine; tests/train/data/test_hold.py has two that do."""

from typing import Any

import pytest

from miner.learning.parallel import machine as module
from miner.learning.parallel.machine import ALONE, SharedMachine, shared_machine

A, B, IN_CONTAINER = ("a", "pid:[1]"), ("b", "pid:[1]"), ("a", "pid:[2]")


@pytest.mark.parametrize(
    ("rank", "machine"),
    [(0, SharedMachine(0, 2)), (1, SharedMachine(1, 2)), (3, SharedMachine(1, 2)), (4, SharedMachine(4, 1))],
)
def test_processes_of_one_machine_know_their_first(
    rank: int, machine: SharedMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "rank", lambda: rank)
    monkeypatch.setattr(module, "_gathered", lambda _: [A, B, A, B, IN_CONTAINER])
    assert shared_machine() == machine
    made: list[Any] = []
    monkeypatch.setattr(module, "_gathered", lambda own: [f"of rank {number}" for number in range(5)])
    assert machine.once(lambda: made.append(rank)) == f"of rank {machine.first}"
    assert made == [rank] * (rank == machine.first)


def test_a_process_alone_makes_its_own() -> None:
    assert shared_machine() == ALONE and ALONE.once(lambda: 3) == 3
