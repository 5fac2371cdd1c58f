import pytest
import timm
import torch
import torchvision
from torch import nn

from miner.learning.networks.backbones import build_resnet, build_vit
from miner.learning.networks.batch_norm import SplitBatchNorm2d
from miner.learning.randomness import generator_for


def reference(name: str, stem: str) -> nn.Module:
    network = getattr(torchvision.models, name)(weights=None)
    network.fc = nn.Identity()
    if stem == "cifar":
        network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    return network.eval()


@pytest.mark.parametrize(("name", "stem"), [("resnet18", "imagenet"), ("resnet18", "cifar"), ("resnet50", "imagenet")])
def test_state_loads_strictly_into_torchvisions_network(name: str, stem: str) -> None:
    backbone, width = build_resnet(name, stem, seed=0, splits=2)
    twin = reference(name, stem)
    twin.load_state_dict(backbone.state_dict(), strict=True)
    images = torch.rand(2, 3, 32, 32, generator=generator_for(0))
    with torch.no_grad():
        features = backbone.eval()(images)
        assert features.shape == (2, width)
        torch.testing.assert_close(
            features, twin(images), atol=1e-4, rtol=1e-5
        )  # small inputs are summed in another order


def test_weights_depend_on_the_seed_alone() -> None:
    def weights(seed: int) -> torch.Tensor:
        return torch.cat([p.flatten() for p in build_resnet("resnet18", "cifar", seed)[0].parameters()])

    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = weights(0)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


@pytest.mark.parametrize(("name", "last"), [("resnet18", "bn2"), ("resnet50", "bn3")])
def test_residual_branches_start_at_zero_if_asked(name: str, last: str) -> None:
    usual, zero = (build_resnet(name, "imagenet", 0, zero_init_residual=zero)[0].state_dict() for zero in (False, True))
    changed = {key for key in usual if not torch.equal(usual[key], zero[key])}
    assert changed == {key for key in usual if key.startswith("layer") and key.endswith(f".{last}.weight")}
    assert not any(zero[key].any() for key in changed)


def test_every_normalisation_is_split() -> None:
    backbone, _ = build_resnet("resnet18", "imagenet", 0, splits=4)
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 20
    assert all(isinstance(norm, SplitBatchNorm2d) and norm.splits == 4 for norm in norms)


@pytest.mark.parametrize(
    ("name", "image_size", "patch_size", "expected", "heads"),
    [("vit_tiny", 32, 4, 192, None), ("vit_small", 28, 14, 384, 12), ("vit_base", 32, 16, 768, None)],
)
def test_a_vits_state_loads_into_timms_network(
    name: str, image_size: int, patch_size: int, expected: int, heads: int | None
) -> None:
    backbone, width = build_vit(name, image_size, patch_size, seed=0, drop_path=0.1, heads=heads)
    sizes = {"img_size": image_size, "patch_size": patch_size, **({"num_heads": heads} if heads else {})}
    twin = timm.create_model(f"{name}_patch16_224", num_classes=0, **sizes).eval()
    twin.load_state_dict(backbone.state_dict(), strict=True)
    images = torch.rand(2, 3, image_size, image_size)
    with torch.no_grad():
        features = backbone.eval()(images)
        assert features.shape == (2, width) and width == expected
        torch.testing.assert_close(features, twin(images))
        torch.testing.assert_close(features, twin.forward_features(images)[:, 0])


def test_a_vit_takes_smaller_crops_and_its_weights_are_seeded() -> None:
    torch.manual_seed(5)
    one, _ = build_vit("vit_tiny", 32, 8, seed=0)
    torch.manual_seed(6)
    two, three = build_vit("vit_tiny", 32, 8, seed=0, drop_path=0.5)[0], build_vit("vit_tiny", 32, 8, seed=1)[0]
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert not torch.equal(one.pos_embed, three.pos_embed)
    assert one(torch.rand(2, 3, 16, 16)).shape == (2, 192)
