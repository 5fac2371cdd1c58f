"""Batch norms of a frozen network, folded into the convolutions before them: the same function in fewer passes over memory."""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

_TOLERANCE = 1e-4


@dataclass(frozen=True)
class _Pair:
    """The names of a convolution and of the batch norm that takes its output."""

    convolution: str
    norm: str


def fold_batch_norms(network: nn.Module, side: int) -> nn.Module:
    """A network without the batch norms that directly follow a convolution, as in residual networks (He et al. 2016).

    A forward pass over an image of noise finds these batch norms. A second image tests whether the function is still the same.
    If it is not (weights that are computed in the forward pass, a feature map that is used twice), the network is returned
    unchanged.

    Args:
        network: float32 (n, 3, side, side) -> any tensor, on the CPU, in evaluation mode.
        side: the side of the images that it takes, in pixels.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(2, 1, 3, side, side, generator=generator)
    with torch.no_grad():
        pairs = _pairs(network, noise[0])
        folded = copy.deepcopy(network)
        for pair in pairs:
            _fold(folded, pair)
        before, after = network(noise[1]).float(), folded(noise[1]).float()
    return folded if _same(before, after) else network


def _pairs(network: nn.Module, image: torch.Tensor) -> list[_Pair]:
    made: dict[int, tuple[str, torch.Tensor]] = {}
    pairs: list[_Pair] = []
    calls: dict[str, int] = {}
    handles = []

    def after_convolution(name: str, output: torch.Tensor) -> None:
        calls[name] = calls.get(name, 0) + 1
        made[id(output)] = (name, output)  # holding the tensor keeps its id unique

    def before_norm(name: str, image: torch.Tensor) -> None:
        if id(image) in made:
            pairs.append(_Pair(made[id(image)][0], name))

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(
                module.register_forward_hook(lambda _, __, output, name=name: after_convolution(name, output))
            )
        elif isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            handles.append(module.register_forward_pre_hook(lambda _, inputs, name=name: before_norm(name, inputs[0])))
    try:
        network(image)
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in pairs if calls[pair.convolution] == 1]


def _fold(network: nn.Module, pair: _Pair) -> None:
    convolution, norm = network.get_submodule(pair.convolution), network.get_submodule(pair.norm)
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    parent, _, child = pair.norm.rpartition(".")
    setattr(network.get_submodule(parent), child, _rest_of(norm))


def _rest_of(norm: nn.BatchNorm2d) -> nn.Module:
    """The layers of timm inside a batch norm: dropout and activation."""
    rest = [part for name in ("drop", "act") if isinstance(part := getattr(norm, name, None), nn.Module)]
    return nn.Sequential(*rest) if rest else nn.Identity()


def _same(before: torch.Tensor, after: torch.Tensor) -> bool:
    return before.shape == after.shape and bool((before - after).norm() <= _TOLERANCE * before.norm())
