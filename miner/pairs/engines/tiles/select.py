"""The implementation of tiles for a device."""

import importlib.util

import torch

from miner.pairs.engines.tiles.base import Tiles

_FIRST_TENSOR_CORES_WITH_BF16 = (8, 0)


def tiles_for(device: torch.device) -> Tiles:
    """The fastest implementation on this device: Triton on NVIDIA GPUs since Ampere, else PyTorch."""
    if _has_triton(device):
        from miner.pairs.engines.tiles.triton import TritonTiles

        return TritonTiles()
    from miner.pairs.engines.tiles.pytorch import TorchTiles

    return TorchTiles()


def _has_triton(device: torch.device) -> bool:
    if device.type != "cuda" or torch.version.cuda is None or importlib.util.find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= _FIRST_TENSOR_CORES_WITH_BF16
