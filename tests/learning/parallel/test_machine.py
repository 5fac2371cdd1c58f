from pathlib import Path

import pytest

from miner.learning.parallel import machine as module
from miner.learning.parallel.collectives import rank
from miner.learning.parallel.machine import ALONE, SharedMachine, shared_machine
from tests.learning.parallel.spawned import on_processes


def machines() -> list[SharedMachine | str]:
    """The machine of this process as it is, and where the second process is in a container; who made a value for whom."""
    found: list[SharedMachine | str] = [shared_machine()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_process_namespace", lambda: f"container {rank()}")
        found.append(shared_machine())
    return [*found, *(machine.once(lambda: f"made by {rank()}") for machine in found)]


def test_processes_of_one_machine_know_their_first(tmp_path: Path) -> None:
    zero, one = on_processes(2, machines, tmp_path)
    assert zero == [SharedMachine(0, 2), SharedMachine(0, 1), "made by 0", "made by 0"]
    assert one == [SharedMachine(0, 2), SharedMachine(1, 1), "made by 0", "made by 1"]


def test_a_process_alone_makes_its_own() -> None:
    assert shared_machine() == ALONE and ALONE.once(lambda: 3) == 3
