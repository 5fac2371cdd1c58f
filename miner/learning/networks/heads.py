"""Projectors and predictors."""

from itertools import pairwise, takewhile

import torch
from torch import nn

from miner.errors import MinerError
from miner.learning.networks.weights import State


def mlp(
    *widths: int,
    last: nn.Module | None = None,
    bias: bool = True,
    activation: type[nn.Module] = nn.ReLU,
    normalised: bool = True,
) -> nn.Sequential:
    """Linear layers with batch normalisation and an activation between them.

    Args:
        widths: the widths of the input, the hidden layers and the output.
        last: layer after the last linear layer, such as a batch normalisation.
        bias: whether the last linear layer has one; the others have one if no normalisation follows.
        activation: the activation of the hidden layers.
        normalised: whether there is batch normalisation at all.
    Returns:
        (batch, widths[0]) -> (batch, widths[-1]).
    """
    *hidden, (inner, outer) = pairwise(widths)
    layers: list[nn.Module] = []
    for before, after in hidden:
        layers.append(nn.Linear(before, after, bias=not normalised))
        layers += [nn.BatchNorm1d(after), activation()] if normalised else [activation()]
    layers.append(nn.Linear(inner, outer, bias=bias))
    return nn.Sequential(*layers, *([last] if last is not None else []))


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
