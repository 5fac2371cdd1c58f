"""torchvision's residual networks (He et al. 2016) from state dicts."""

import re

from torch import nn

from miner.errors import MinerError
from miner.learning.networks.weights import State

_BLOCKS: dict[tuple[bool, tuple[int, ...]], str] = {
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
    (True, (3, 8, 36, 3)): "resnet152",
}


def headless_resnet(name: str) -> nn.Module:
    """A residual network with random weights whose output is its pooled features."""
    from torchvision import models

    network: nn.Module = models.get_model(name, weights=None)
    network.fc = nn.Identity()
    return network


def which_resnet(state: State, origin: str) -> str:
    """The torchvision name of the residual network in a state dict.

    Raises:
        MinerError: the state dict holds no residual network under torchvision's names.
    """
    blocks = [
        len({name.split(".")[1] for name in state if re.match(rf"layer{stage}\.\d+\.", name)}) for stage in (1, 2, 3, 4)
    ]
    name = _BLOCKS.get(("layer1.0.conv3.weight" in state, tuple(blocks)))
    if name is None:
        raise MinerError(
            f"{origin} holds no residual network that miner knows (blocks per stage: {blocks}). "
            f"Known are {', '.join(_BLOCKS.values())} under torchvision's names."
        )
    return name
