import pytest
import torch
from torchvision import models

from miner.embed.encoders.resnets import which_resnet
from miner.errors import MinerError


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_the_architecture_is_told_from_the_tensors(name: str) -> None:
    with torch.device("meta"):
        state = models.get_model(name).state_dict()
    assert which_resnet(state, "it") == name


def test_other_architectures_are_refused() -> None:
    with torch.device("meta"):
        state = models.get_model("mobilenet_v3_small").state_dict()
    with pytest.raises(MinerError, match=r"holds no residual network.*resnet18, resnet34, resnet50"):
        which_resnet(state, "it")
