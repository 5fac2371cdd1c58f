import pytest
import torch

from miner.machine import device
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


@pytest.mark.parametrize(
    ("allowed", "flags", "native"),
    [
        ("", {"avx2", "avx512_bf16"}, True),
        ("", {"avx2"}, False),
        ("avx2", {"avx2", "avx512_bf16"}, False),
        ("AVX512_CORE_VNNI", {"amx_bf16"}, False),
        ("AVX512_CORE_BF16", {"avx512_bf16"}, True),
    ],
)
def test_bf16_is_native_where_onednn_may_use_it(monkeypatch, allowed, flags, native) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", allowed)
    monkeypatch.setattr(device, "processor_flags", lambda: frozenset(flags))
    assert device.has_native_bf16(torch.device("cpu")) == native
