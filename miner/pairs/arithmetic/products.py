"""The product of two blocks of rows in float32."""

from functools import cache

import torch
from torch import Tensor


def product(left: Tensor, right: Tensor) -> Tensor:
    """left @ right.T, float32 (m, n), for rows (m, d) and (n, d). The order of each sum depends on the processor.

    On a processor with AVX by oneDNN, where torch has it. The library behind `torch.mm` may be MKL, which does not use the
    widest instructions of AMD's processors: with AVX-512, oneDNN took a third of the time.
    """
    if left.device.type != "cpu" or not _has_onednn():
        return left @ right.T
    made: Tensor = torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")
    return made


@cache
def _has_onednn() -> bool:
    """Whether torch has this operator, which is not public; elsewhere than on x86, oneDNN may be told to round to bfloat16."""
    return torch.backends.cpu.get_cpu_capability().startswith("AVX") and hasattr(torch.ops.mkldnn, "_linear_pointwise")
