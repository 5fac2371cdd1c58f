"""torchvision's residual networks (He et al. 2016) from state dicts: the architecture, and the projector on top of it."""

import re
from itertools import takewhile

import torch
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


def mlp_head(state: State, origin: str, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """A projector rebuilt from its state dict.

    A matrix is a linear layer, running statistics are a batch norm, and an index without tensors is the activation. The
    projectors of MoCo v2 and v3, SimCLR and SwAV have this form.

    Args:
        state: names such as `0.weight`; a single linear layer may be called `weight`.
        origin: the file, for the error.
        activation: between the linear layers.
    Raises:
        MinerError: the state dict holds something else.
    """
    if "weight" in state:
        state = {f"0.{name}": value for name, value in state.items()}
    indices = {int(digits) for name in state if (digits := "".join(takewhile(str.isdigit, name)))}
    layers = [_layer(state, index, origin, activation) for index in range(max(indices, default=-1) + 1)]
    if not layers:
        raise MinerError(f"{origin} holds no projector.")
    head = nn.Sequential(*layers)
    try:
        head.load_state_dict(
            {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}, strict=False
        )
    except RuntimeError as error:
        raise MinerError(
            f"{origin} holds a projector of an unknown kind ({' '.join(str(error).split())[:160]})."
        ) from error
    return head


def _layer(state: State, index: int, origin: str, activation: type[nn.Module]) -> nn.Module:
    own = {name.removeprefix(f"{index}."): value for name, value in state.items() if name.startswith(f"{index}.")}
    if not own:
        return activation()
    if "running_mean" in own:
        return nn.BatchNorm1d(len(own["running_mean"]), affine="weight" in own)
    weight = own.get("weight", torch.empty(0))
    if weight.ndim != 2:
        raise MinerError(f"{origin} holds a projector of an unknown kind: layer {index} has {sorted(own)}.")
    return nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in own)
