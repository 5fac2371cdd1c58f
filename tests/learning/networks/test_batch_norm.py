import torch
from torch import nn

from miner.learning.networks.batch_norm import SplitBatchNorm2d
from miner.learning.randomness import generator_for


def test_training_equals_plain_normalisation_of_each_part() -> None:
    x = torch.randn(12, 5, 3, 3, generator=generator_for(0)).contiguous(memory_format=torch.channels_last)
    split = SplitBatchNorm2d(5, 3)
    nn.init.uniform_(split.weight)
    parts = [nn.BatchNorm2d(5) for _ in range(3)]
    for part in parts:
        part.load_state_dict(split.state_dict())
    expected = torch.cat([part(chunk) for part, chunk in zip(parts, x.chunk(3), strict=True)])
    torch.testing.assert_close(split(x), expected)
    torch.testing.assert_close(split.running_mean, torch.stack([part.running_mean for part in parts]).mean(0))
    torch.testing.assert_close(split.running_var, torch.stack([part.running_var for part in parts]).mean(0))
    assert split.num_batches_tracked == 1


def test_eval_and_state_are_those_of_plain_normalisation() -> None:
    x = torch.randn(6, 4, 2, 2, generator=generator_for(1))
    split, plain = SplitBatchNorm2d(4, 2), nn.BatchNorm2d(4)
    split(x)
    plain.load_state_dict(split.state_dict(), strict=True)
    torch.testing.assert_close(split.eval()(x), plain.eval()(x))
