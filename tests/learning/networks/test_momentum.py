import torch
from torch import nn

from miner.learning.networks.momentum import move_towards
from miner.learning.randomness import generator_for


def test_the_average_moves_as_parameter_by_parameter() -> None:
    draw = generator_for(0)
    average, online = (
        nn.Sequential(nn.Linear(37, 21), nn.Linear(21, 3)),
        nn.Sequential(nn.Linear(37, 21), nn.Linear(21, 3)),
    )
    for parameter in (*average.parameters(), *online.parameters()):
        nn.init.normal_(parameter, generator=draw)
    for momentum in (0.996, 0.3, 1.0):
        expected = [
            slow.detach().lerp(fast, 1.0 - momentum)
            for slow, fast in zip(average.parameters(), online.parameters(), strict=True)
        ]
        move_towards(average, online.parameters(), momentum)
        assert all(torch.equal(slow, each) for slow, each in zip(average.parameters(), expected, strict=True))
