import pytest
import torch
from torch import nn

from miner.learning.networks.batch_norm import SplitBatchNorm2d
from miner.learning.randomness import generator_for


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
@pytest.mark.parametrize("batch", [12, 14])
def test_training_equals_plain_normalisation_of_each_part(batch: int, dtype: torch.dtype, rounding: float) -> None:
    ours = torch.randn(batch, 5, 3, 3, generator=generator_for(0)).to(dtype)
    ours = ours.contiguous(memory_format=torch.channels_last).requires_grad_()
    theirs = ours.detach().double().requires_grad_()
    split = SplitBatchNorm2d(5, 3)
    nn.init.uniform_(split.weight)
    parts = [nn.BatchNorm2d(5).double() for _ in range(3)]
    for part in parts:
        part.load_state_dict(split.state_dict())
    made = split(ours)
    expected = torch.cat([part(chunk) for part, chunk in zip(parts, theirs.tensor_split(3), strict=True)])
    gradient = torch.randn(ours.shape, generator=generator_for(1)).to(dtype)
    made.backward(gradient)
    expected.backward(gradient.double())
    assert made.is_contiguous(memory_format=torch.channels_last) and made.dtype == dtype
    for mine, other in (
        (made, expected),
        (ours.grad, theirs.grad),
        (split.weight.grad, sum(part.weight.grad for part in parts)),
        (split.bias.grad, sum(part.bias.grad for part in parts)),
        (split.running_mean, torch.stack([part.running_mean for part in parts]).mean(0)),
        (split.running_var, torch.stack([part.running_var for part in parts]).mean(0)),
    ):
        torch.testing.assert_close(mine.double(), other, atol=rounding, rtol=rounding)
    assert split.num_batches_tracked == 1


def test_eval_and_state_are_those_of_plain_normalisation() -> None:
    x = torch.randn(6, 4, 2, 2, generator=generator_for(1))
    split, plain = SplitBatchNorm2d(4, 2), nn.BatchNorm2d(4)
    split(x)
    plain.load_state_dict(split.state_dict(), strict=True)
    torch.testing.assert_close(split.eval()(x), plain.eval()(x))
