"""Weights from files and hubs, without unpickling code."""

import os
import pickle
import socket
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import nn

from miner.engine import answers_in_time, write_bytes
from miner.errors import MinerError
from miner.machine.memory import refuse_large_network

State = dict[str, torch.Tensor]
_FORCE_PLAIN = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def read_plain(path: Path) -> Any:
    """The content of a checkpoint: safetensors, or a torch file with tensors and plain values only.

    Raises:
        MinerError: the file is damaged, needs code to load, or takes more than half of the free memory.
    """
    try:
        refuse_large_network(path)
        if path.suffix == ".safetensors":
            from safetensors.torch import load

            return load(path.read_bytes())  # not by its path, which may be no UTF-8
        return torch.load(path, map_location="cpu", weights_only=True)
    except MinerError:
        raise
    except Exception as error:  # both readers raise many kinds for a bad file
        raise MinerError(
            f"The checkpoint {path} could not be read as plain tensors ({' '.join(str(error).split())[:200]}). miner never runs "
            "code from a checkpoint; save the state dict alone (torch.save(model.state_dict()) or safetensors)."
        ) from error


def save_weights(path: Path, network: nn.Module, metadata: dict[str, str] | None = None) -> None:
    """Write the weights and running statistics of a network as safetensors, atomically."""
    from safetensors.torch import save

    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    write_bytes(path, save(state, metadata or None))


def load_state(path: Path) -> State:
    """The tensors of a checkpoint.

    A state dict may be nested under `state_dict`, `model` or `backbone`, and all names may have the prefix `module.`.

    Raises:
        MinerError: the file is damaged, needs code to load, or holds no tensors.
    """
    content = read_plain(path)
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
    """Load a checkpoint into a network without classifier; other tensors of the file are ignored.

    Raises:
        MinerError: a weight of the network is missing from the file, or has another shape.
    """
    fit_state(network, load_state(path), f"The checkpoint {path}")


def fit_state(network: nn.Module, found: State, origin: str) -> None:
    """Load a network's weights from a state dict that may also hold classifiers, projectors or a second encoder.

    The names may have a common prefix (`backbone.`, `encoder_q.`). Only `num_batches_tracked`, which evaluation does not use, may
    be missing.

    Raises:
        MinerError: a weight is missing, has another shape, or there are several networks that fit.
    """
    complete = network.state_dict()
    wanted = {name: value for name, value in complete.items() if not name.endswith("num_batches_tracked")}
    prefix = _prefix(wanted, found, origin)
    missing = sorted(name for name in wanted if prefix + name not in found)
    other_shape = sorted(
        name for name in wanted.keys() - set(missing) if wanted[name].shape != found[prefix + name].shape
    )
    if missing or other_shape:
        what = (
            f"lacks {missing[0]} and {len(missing) - 1} more" if missing else f"has another shape for {other_shape[0]}"
        )
        raise MinerError(
            f"{origin} does not fit the architecture: it {what} (it holds {len(found)} tensors). "
            "Check that it is a checkpoint of the architecture that is asked for."
        )
    complete.update({name: found[prefix + name] for name in wanted})
    network.load_state_dict(complete)


def _prefix(wanted: State, found: State, origin: str) -> str:
    """The prefix of all wanted names in `found`; "" also if nothing fits."""
    first = next(iter(wanted))
    endings = [name.removesuffix(first) for name in found if name == first or name.endswith(f".{first}")]
    fitting = [prefix for prefix in endings if all(prefix + name in found for name in wanted)]
    if len(fitting) > 1 and "" not in fitting:
        raise MinerError(
            f"{origin} holds several such networks, under {' and '.join(sorted(fitting))}. Save the one to use alone."
        )
    return fitting[0] if len(fitting) == 1 else ""


@contextmanager
def fetching(name: str) -> Iterator[None]:
    """Explain the failure of a download in one paragraph, and keep loaders from unpickling code.

    Raises:
        MinerError: the hub cannot be reached, or its file holds more than plain tensors.
    """
    before = os.environ.get(_FORCE_PLAIN)
    os.environ[_FORCE_PLAIN] = "1"
    try:
        with answers_in_time(), _cache_alone_if_offline():
            yield
    except (urllib.error.URLError, OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise MinerError(
            f"The weights of {name} could not be fetched ({type(error).__name__}: {' '.join(str(error).split())[:160]}). Without a "
            f"network name efficientnet_lite0, or fetch them elsewhere and name {name}@FILE."
        ) from error
    finally:
        os.environ.pop(_FORCE_PLAIN)
        if before is not None:
            os.environ[_FORCE_PLAIN] = before


@contextmanager
def _cache_alone_if_offline() -> Iterator[None]:
    """The Hub's client looks into its cache alone where no address of the Hub is found: it would try each file five times more."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    host = urlsplit(constants.ENDPOINT).hostname
    if not getproxies():
        try:
            socket.getaddrinfo(host, None)
        except OSError:
            constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
