import pytest

from miner.engine import LocalExecutor
from miner.engine.ray import RayExecutor
from miner.errors import UsageError
from miner.machine.executor import executor_for


def test_one_device_works_in_this_process() -> None:
    assert executor_for(None) == executor_for(None, "cpu") == LocalExecutor()


def test_several_devices_get_a_process_each() -> None:
    assert executor_for(None, "cpu:0,cpu:1") == LocalExecutor(2, ("cpu:0", "cpu:1"))
    assert executor_for(None, "cpu:0,cpu:1", process_per_device=False) == LocalExecutor()


def test_workers_are_processes_or_actors() -> None:
    assert executor_for(None, workers=3) == LocalExecutor(3)
    assert executor_for("auto", workers=3) == RayExecutor("auto", workers=3)
    assert executor_for("auto") == RayExecutor("auto")


@pytest.mark.parametrize(("device", "gpus"), [("auto", 1), ("cuda:0,cuda:1", 1), ("cpu", 0), ("mps", 0)])
def test_cluster_gives_gpus_to_devices_that_may_be_one(device: str, gpus: int) -> None:
    found = executor_for("ray://host:1", device, process_per_device=False)
    assert found == RayExecutor("ray://host:1", gpus_per_worker=gpus)


def test_unknown_device_is_refused() -> None:
    with pytest.raises(UsageError, match="no such device"):
        executor_for(None, "cuda:77")
