"""Loading: names that do not quite match, and files that would run code."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from miner.embed.encoders import load_encoder
from miner.errors import MinerError
from miner.learning.networks.weights import State, fetching, fit_state


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize("prefix", ["", "backbone.", "model.encoder."])
def test_a_common_prefix_and_other_parts_are_seen_through(prefix: str) -> None:
    trained, fresh = network(), nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    fit_state(fresh, {**under(prefix, trained.state_dict()), "projector.0.weight": torch.zeros(2, 2)}, "it")
    assert all(value.equal(fresh.state_dict()[name]) for name, value in trained.state_dict().items())


def test_two_networks_that_fit_are_not_guessed_between() -> None:
    state = network().state_dict()
    with pytest.raises(MinerError, match=r"under student\. and teacher\."):
        fit_state(network(), {**under("student.", state), **under("teacher.", state)}, "it")
    fit_state(network(), {**state, **under("teacher.", state)}, "it")


def test_the_count_of_batches_may_be_missing_but_no_weight() -> None:
    state = {name: value for name, value in network().state_dict().items() if "num_batches" not in name}
    fit_state(network(), state, "it")
    del state["1.running_var"]
    with pytest.raises(MinerError, match=r"lacks 1\.running_var and 0 more"):
        fit_state(network(), state, "it")


class Payload:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.mark), "w"))


def test_no_loader_of_a_hub_unpickles_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(Payload(tmp_path / "hacked"), tmp_path / "cached.pth")
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url",
        lambda *args, **kwargs: torch.load(tmp_path / "cached.pth", weights_only=False),
    )
    with pytest.raises(MinerError, match="could not be fetched"):
        load_encoder("resnet18", torch.device("cpu"))
    assert not (tmp_path / "hacked").exists()


def test_the_setting_that_forbids_code_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    with fetching("x"):
        assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
