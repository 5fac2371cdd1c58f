"""Where a run computes, and on how many processes."""

from typing import Literal

from miner.options import option
from miner.train.settings.groups.basics import BasicOptions


class ProcessOptions(BasicOptions):
    """The options on devices, processes and memory."""

    panel = "processes"

    device: str = option("auto", decides_result=False)
    """auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps."""
    precision: Literal["auto", "fp32", "bf16"] = option("auto")
    """auto: bf16 where the device computes it natively, else fp32."""
    processes: int = option(1, ge=1, decides_result=False)
    """Processes that share each batch, one per GPU. The result is that of one process, up to rounding. torchrun
    --nproc-per-node N -m miner train ... does the same, also on several machines."""
    engine_address: str | None = option(None, decides_result=False)
    """Run the processes on a Ray cluster: auto, or ray://HOST:PORT (extra `ray`). All machines must see the workspace under the
    same path."""
    sync_norm: bool = option(True)
    """Each process normalises over its own part of the batch. This saves exchanges, and costs most methods accuracy. Without
    this flag, all processes normalise over the whole batch, as one process does. moco always normalises parts of the batch
    apart."""
    data: Literal["auto", "memory", "stream"] = option("auto", decides_result=False)
    """memory: decode every image once, before the first step; the processes of a machine share one copy. stream: decode the
    images of a step shortly before it, for data sets larger than memory. auto: memory if the images take at most half of the free
    memory. The result is the same, byte for byte."""
    workers: int = option(0, ge=0, decides_result=False)
    """Threads that decode images. 0: one per core."""
    deterministic: bool = option(True, panel="expert", decides_result="if changed")
    """On a GPU, convolutions take algorithms that give the same bits in each run. With --no-deterministic they take the fastest
    ones, and a run that was interrupted ends with other last digits."""
    compile: bool = option(False)
    """Compile the backbone with torch.compile, for long runs. Compiling takes minutes; steps are then faster, and last digits
    differ."""
    checkpoint_steps: int = option(500, ge=1, decides_result=False)
    """Save a checkpoint at least every this many steps. The same command continues from the last one."""
