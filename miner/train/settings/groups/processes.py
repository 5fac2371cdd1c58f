"""Where a run computes, and on how many processes."""

from typing import Any, Literal

from pydantic import Field

from miner.train.settings.groups.basics import BasicOptions

_SPEED_ONLY: dict[str, Any] = {"decides_result": False}


class ProcessOptions(BasicOptions):
    """The options on devices, processes and memory."""

    panel = "processes"

    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.", json_schema_extra=_SPEED_ONLY)
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 where the device computes it natively, else fp32."
    )
    processes: int = Field(
        1,
        ge=1,
        description="Processes that share each batch, one per GPU. The result is that of one process, up to rounding. torchrun "
        "--nproc-per-node N -m miner train ... does the same, also on several machines.",
        json_schema_extra=_SPEED_ONLY,
    )
    engine_address: str | None = Field(
        None,
        description="Run the processes on a Ray cluster: auto, or ray://HOST:PORT (extra `ray`). All machines must see the "
        "workspace under the same path.",
        json_schema_extra=_SPEED_ONLY,
    )
    sync_norm: bool = Field(
        True,
        description="Several processes normalise over the whole batch, as one process does. Off, each normalises over its own "
        "part, which saves exchanges and costs most methods accuracy. moco always normalises parts of the batch apart.",
    )
    data: Literal["auto", "memory", "stream"] = Field(
        "auto",
        description="memory: decode every image once, before the first step. stream: decode the images of a step shortly before "
        "it, for data sets larger than memory. auto: memory if the images take at most half of the free memory. The result is "
        "the same, byte for byte.",
        json_schema_extra=_SPEED_ONLY,
    )
    workers: int = Field(
        0,
        ge=0,
        description="Threads that decode images; 0: one per core, at most 8.",
        json_schema_extra=_SPEED_ONLY,
    )
    compile: bool = Field(
        False,
        description="Compile the backbone by torch.compile: minutes of compiling, then faster steps, with slightly other numbers. "
        "For long runs.",
    )
    checkpoint_steps: int = Field(
        500,
        ge=1,
        description="Most steps between checkpoints. The same command continues from the last one.",
        json_schema_extra=_SPEED_ONLY,
    )
