"""Where the units of a stage run: in this process, in one process per device, or on a Ray cluster."""

from miner.engine import Executor, LocalExecutor


def executor_for(
    engine_address: str | None, device: str = "cpu", *, workers: int = 1, process_per_device: bool = True
) -> Executor:
    """The executor behind `--engine-address`, `--device` and `--workers`.

    Args:
        engine_address: the address of the Ray cluster; None for this machine.
        device: the option; on a cluster, a worker takes a GPU unless the option names another kind of device.
        workers: processes of this machine, or actors of the cluster; 1 leaves their number to devices and cluster.
        process_per_device: whether each device of this machine gets a process of its own if the option names several.
    Raises:
        UsageError: this machine has no such device.
    """
    if engine_address is not None:
        from miner.engine.ray import RayExecutor

        on_gpus = device.startswith(("auto", "cuda"))
        return RayExecutor(engine_address, gpus_per_worker=int(on_gpus), workers=workers if workers > 1 else None)
    if workers > 1 or device == "cpu" or not process_per_device:
        return LocalExecutor(workers if workers > 1 else 0)
    from miner.machine.device import resolve_devices

    devices = resolve_devices(device)
    return LocalExecutor(len(devices), tuple(devices)) if len(devices) > 1 else LocalExecutor()
