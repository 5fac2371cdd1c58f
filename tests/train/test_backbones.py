import pytest
import torch
import torchvision
from torch import nn

from miner.train.backbones import build_backbone
from miner.train.split_norm import SplitBatchNorm2d


def reference(name: str, stem: str) -> nn.Module:
    network = getattr(torchvision.models, name)(weights=None)
    network.fc = nn.Identity()
    if stem == "cifar":
        network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    return network.eval()


@pytest.mark.parametrize(("name", "stem"), [("resnet18", "imagenet"), ("resnet18", "cifar"), ("resnet50", "imagenet")])
def test_state_loads_strictly_into_torchvisions_network(name: str, stem: str) -> None:
    backbone, width = build_backbone(name, stem, seed=0, splits=2)
    twin = reference(name, stem)
    twin.load_state_dict(backbone.state_dict(), strict=True)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        features = backbone.eval()(images)
        assert features.shape == (2, width)
        torch.testing.assert_close(features, twin(images))


def test_weights_depend_on_the_seed_alone() -> None:
    def weights(seed: int) -> torch.Tensor:
        return torch.cat([p.flatten() for p in build_backbone("resnet18", "cifar", seed)[0].parameters()])

    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = weights(0)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


def test_every_normalisation_is_split() -> None:
    backbone, _ = build_backbone("resnet18", "imagenet", 0, splits=4)
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 20
    assert all(isinstance(norm, SplitBatchNorm2d) and norm.splits == 4 for norm in norms)
