import torch

from miner.machine.device import resolve_device


def test_float32_on_a_gpu_is_not_tf32() -> None:
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, products.allow_tf32
    try:
        cudnn.allow_tf32 = products.allow_tf32 = True
        resolve_device("cpu")
        assert (cudnn.allow_tf32, products.allow_tf32) == (False, False)
    finally:
        cudnn.allow_tf32, products.allow_tf32 = before
