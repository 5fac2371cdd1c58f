"""Weights from files and hubs, without ever unpickling code."""

import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from miner.errors import MinerError

State = dict[str, torch.Tensor]


def load_state(path: Path) -> State:
    """The tensors of a checkpoint: safetensors, or a torch file that holds nothing but tensors and plain values.

    A state dict nested under `state_dict`, `model` or `backbone`, and the prefix `module.` on every name, are seen through.

    Raises:
        MinerError: the file is damaged, needs code to load, or holds no tensors.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: object = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise many kinds for a bad file
        raise MinerError(
            f"The checkpoint {path} could not be read as plain tensors ({' '.join(str(error).split())[:200]}). miner never runs "
            "code from a checkpoint; save the state dict alone (torch.save(model.state_dict()) or safetensors)."
        ) from error
    for name in ("state_dict", "model", "backbone"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict):
        raise MinerError(f"The checkpoint {path} holds no state dict.")
    state = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state


def load_backbone_state(network: nn.Module, path: Path) -> None:
    """Load a checkpoint into a network whose classifier has been removed; classifier weights in the file are passed over.

    Raises:
        MinerError: a weight of the network is missing from the file, or has another shape.
    """
    wanted = network.state_dict()
    found = load_state(path)
    missing = sorted(wanted.keys() - found.keys())
    other_shape = sorted(name for name in wanted.keys() & found.keys() if wanted[name].shape != found[name].shape)
    if missing or other_shape:
        what = (
            f"lacks {missing[0]} and {len(missing) - 1} more" if missing else f"has another shape for {other_shape[0]}"
        )
        raise MinerError(
            f"The checkpoint {path} does not fit the architecture: it {what} (it holds {len(found)} tensors). "
            "Check that the name before @ is the architecture that was trained."
        )
    network.load_state_dict({name: found[name] for name in wanted})


@contextmanager
def fetching(name: str) -> Iterator[None]:
    """Turn the failure of a download into one paragraph.

    Raises:
        MinerError: the hub cannot be reached.
    """
    try:
        yield
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise MinerError(
            f"The weights of {name} could not be fetched ({type(error).__name__}: {' '.join(str(error).split())[:160]}). Without a "
            f"network use --encoder efficientnet_lite0, or fetch them elsewhere and pass --encoder {name}@FILE."
        ) from error


def without_last_linear(network: nn.Module) -> nn.Module:
    """Replace the last linear layer, the classifier, by the identity, so that the network gives features."""
    last = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]
    parent, _, child = last.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return network


def build(factory: Callable[[], nn.Module], checkpoint: Path | None, name: str) -> nn.Module:
    """A feature network: from a local checkpoint where one is given, else as the factory fetches it."""
    with fetching(name):
        network = without_last_linear(factory())
    if checkpoint is not None:
        load_backbone_state(network, checkpoint)
    return network
