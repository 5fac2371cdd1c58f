import torch
from torch import nn
from torchvision import models

from miner.embed.encoders import load_encoder
from miner.embed.encoders.base import weights_sha256
from miner.embed.encoders.folding import fold_batch_norms


def with_statistics(network: nn.Module) -> nn.Module:
    """Batch norms as after training: no two channels alike."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias.data):
                tensor.normal_(std=0.2)
            for tensor in (module.running_var, module.weight.data):
                tensor.uniform_(0.5, 1.5)
    return network.eval().requires_grad_(False)


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_a_folded_resnet_keeps_its_function_without_its_norms() -> None:
    network = with_statistics(models.resnet18())
    folded = fold_batch_norms(network, 64)
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(9))
    assert (norms(network), norms(folded)) == (20, 0)
    torch.testing.assert_close(folded(images), network(images), rtol=1e-3, atol=1e-4)


def test_norm_and_activation_in_one_of_timm() -> None:
    import timm

    network = with_statistics(timm.create_model("efficientnet_lite0", num_classes=0))
    folded = fold_batch_norms(network, 64)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(9))
    assert norms(network) > 40 and norms(folded) == 0
    torch.testing.assert_close(folded(images), network(images), rtol=1e-3, atol=1e-4)


class UsedTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.convolution(images)
        return self.norm(features) + features


class Standardised(nn.Conv2d):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(images, self.weight / self.weight.norm(), self.bias)


def test_what_would_change_the_function_is_left_alone() -> None:
    for network in (UsedTwice(), nn.Sequential(Standardised(3, 4, 3), nn.BatchNorm2d(4))):
        assert fold_batch_norms(with_statistics(network), 16) is network


def test_norms_that_do_not_follow_one_convolution_stay() -> None:
    shared = nn.Conv2d(3, 3, 1)
    network = with_statistics(nn.Sequential(nn.BatchNorm2d(3), shared, nn.BatchNorm2d(3), shared))
    assert norms(fold_batch_norms(network, 8)) == 2


def test_checksum_is_that_of_the_published_weights(tmp_path) -> None:
    network = with_statistics(models.resnet18())
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    encoder = load_encoder(f"resnet18@{tmp_path / 'weights.pth'}", torch.device("cpu"))
    network.fc = nn.Identity()
    assert norms(encoder.network) == 0
    assert encoder.record()["weights_sha256"] == weights_sha256(network)
