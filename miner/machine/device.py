"""Devices and precisions behind the options."""

import os

import torch

from miner.engine import assigned_device
from miner.errors import UsageError
from miner.machine.environment import processor_flags

# Values of a variable of oneDNN that leave out the instructions for bfloat16.
_WITHOUT_BF16 = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI"}


def resolve_device(name: str) -> torch.device:
    """The device behind an option: `auto` is the first CUDA GPU, else Apple's GPU, else the CPU.

    From then on, float32 products of this process keep all digits on a GPU: torch would compute those of convolutions in TF32,
    and the records say fp32.

    Raises:
        UsageError: this machine has no such device.
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {name!r} is not a device. Use auto, cpu, cuda, cuda:N or mps.") from None
    missing_cuda = device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    missing_mps = device.type == "mps" and not torch.backends.mps.is_available()
    if missing_cuda or missing_mps:
        raise UsageError(f"--device {name}: there is no such device on this machine. Use --device auto or cpu.")
    return device


def resolve_devices(name: str) -> list[str]:
    """The devices behind an option for stages that can use several: `auto` is every CUDA GPU; else a comma-separated list.

    Raises:
        UsageError: this machine has no such device.
    """
    if name == "auto" and torch.cuda.device_count() > 1:
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [str(resolve_device(part.strip())) for part in name.split(",")]


def worker_device(name: str) -> torch.device:
    """The device of this process: the one that its executor assigned, else the first one behind the option."""
    return resolve_device(assigned_device() or resolve_devices(name)[0])


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype of matrix products: `auto` is bfloat16 if the device has native bfloat16, else float32."""
    if name == "auto":
        return torch.bfloat16 if has_native_bf16(device) else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[name]


def has_native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices natively, so faster than float32 ones."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    allowed = (
        os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() not in _WITHOUT_BF16
    )  # oneDNN makes the products of torch
    return device.type == "cpu" and allowed and not processor_flags().isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})
