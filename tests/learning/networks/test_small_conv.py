import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from miner.learning.networks.backbones import build_resnet
from miner.learning.networks.small_conv import SmallInputConv2d
from miner.learning.randomness import generator_for


def results(conv: nn.Conv2d, x: Tensor, cotangent: Tensor) -> tuple[Tensor, ...]:
    """The output, and the gradients of the input and of the parameters."""
    x = x.clone().requires_grad_()
    out = conv(x)
    return (out, *torch.autograd.grad(out, [x, *conv.parameters()], cotangent))


@pytest.mark.parametrize("sides", [(1, 1), (2, 2), (1, 2), (2, 3), (3, 3), (6, 4)])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (7, 2, 3), (1, 2, 0), ((3, 1), 1, (1, 0))]
)
def test_it_equals_torchs_convolution_forwards_and_backwards(
    sides: tuple[int, int], kernel: int, stride: int, padding: int
) -> None:
    draw = generator_for(0, "small")
    plain = nn.Conv2d(5, 4, kernel, stride, padding).double()
    small = SmallInputConv2d.of(plain)
    x = torch.randn(3, 5, *sides, generator=draw, dtype=torch.float64).to(memory_format=torch.channels_last)
    cotangent = torch.randn(plain(x).shape, generator=draw, dtype=torch.float64)
    for ours, theirs in zip(results(small, x, cotangent), results(plain, x, cotangent), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("side", "stride", "share"), [(1, 1, 1 / 9), (1, 2, 1 / 9), (2, 1, 4 / 9), (2, 2, 4 / 9), (3, 1, 1)]
)
def test_taps_on_padding_are_not_multiplied(side: int, stride: int, share: float) -> None:
    def flops(conv: nn.Conv2d) -> int:
        with FlopCounterMode(display=False) as counter:
            conv(torch.zeros(2, 8, side, side))
        return counter.get_total_flops()

    plain = nn.Conv2d(8, 8, 3, stride, 1)
    assert flops(SmallInputConv2d.of(plain)) == pytest.approx(share * flops(plain))


def test_grouped_and_dilated_convolutions_are_torchs_own() -> None:
    x = torch.randn(2, 4, 2, 2, generator=generator_for(1))
    for plain in (nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.Conv2d(4, 4, 3, padding=2, dilation=2)):
        assert torch.equal(SmallInputConv2d.of(plain)(x), plain(x))


def test_a_backbone_of_small_images_uses_it_and_keeps_its_names() -> None:
    import torchvision

    network, _ = build_resnet("resnet18", "imagenet", 0)
    plain = torchvision.models.resnet18(weights=None)
    plain.fc = nn.Identity()
    plain.load_state_dict(network.state_dict())
    images = torch.randn(4, 3, 32, 32, generator=generator_for(2))
    torch.testing.assert_close(network(images), plain(images), atol=1e-4, rtol=1e-4)
    assert isinstance(network.layer4[1].conv2, SmallInputConv2d)
