from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.transforms._presets import ImageClassification

from miner.embed.encoders import load_encoder
from miner.embed.encoders.base import EncoderRequest
from miner.embed.encoders.torchvision_zoo import remove_classifier, torchvision_encoder, torchvision_preprocess
from miner.errors import UsageError

CPU = torch.device("cpu")


def saved(network: nn.Module, folder: Path) -> Path:
    torch.save(network.state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


CLASSIFIERS = models.list_models(module=models)
# Networks without numbers, as only the layers matter; RegNet computes its widths with tensors and needs numbers.
SKELETONS = [name for name in CLASSIFIERS if not name.startswith("regnet_")]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_set_of_weights_has_a_transform_that_is_offered(name: str) -> None:
    for weights in models.get_model_weights(name):
        ours, transform = torchvision_preprocess(weights), weights.transforms()
        assert [ours.resize] == transform.resize_size and [ours.crop] == transform.crop_size


@pytest.mark.parametrize("name", [*SKELETONS, "regnet_x_400mf", "regnet_y_400mf"])
def test_what_is_removed_is_the_classifier(name: str) -> None:
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta" if name in SKELETONS else "cpu"):
        network = models.get_model(name, **options)
    before = dict(network.named_modules())
    remove_classifier(network)
    gone = [before[path] for path, module in network.named_modules() if before[path] is not module]
    assert [getattr(layer, "out_features", getattr(layer, "out_channels", None)) for layer in gone] == [1000]


@pytest.mark.parametrize(
    ("name", "dim"),
    [("squeezenet1_1", 512), ("mobilenet_v3_small", 1024), ("shufflenet_v2_x0_5", 1024), ("googlenet", 1024)],
)
def test_features_before_the_classifier(name: str, dim: int, tmp_path: Path) -> None:
    file = saved(
        models.get_model(name, **({"aux_logits": False, "init_weights": False} if name == "googlenet" else {})),
        tmp_path,
    )
    assert load_encoder(f"{name}@{file}", CPU).dim == dim


def test_a_named_member_brings_its_own_transform(tmp_path: Path) -> None:
    file = saved(models.resnet50(), tmp_path)
    old, new = (
        load_encoder(f"resnet50:{member}@{file}", CPU).preprocess for member in ("IMAGENET1K_V1", "IMAGENET1K_V2")
    )
    assert (old.resize, new.resize) == (256, 232)
    assert load_encoder(f"resnet50@{file}", CPU).preprocess == new


def test_what_was_published_is_fetched_and_its_labels_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    state = models.resnet18().state_dict()
    asked = []

    def download(url: str, *args: object, **kwargs: object) -> dict[str, torch.Tensor]:
        asked.append(url)
        return state

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    encoder = torchvision_encoder(EncoderRequest("resnet18:IMAGENET1K_V1", "resnet18:IMAGENET1K_V1"))
    assert asked == [models.ResNet18_Weights.IMAGENET1K_V1.url]
    assert encoder.labels_seen == "1,000 classes (ResNet18_Weights.IMAGENET1K_V1)"
    assert encoder.network.conv1.weight.equal(state["conv1.weight"])


def test_max_pooling_replaces_the_average(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = models.resnet18().eval()
    encoder = load_encoder(f"resnet18@{saved(network, tmp_path)}", CPU, pool="max")
    pixels = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)
    map_of = nn.Sequential(*list(network.children())[:-2])
    with torch.inference_mode():
        expected = nn.functional.normalize(map_of(encoder.preprocess.normalise(pixels)).amax((2, 3)))
    torch.testing.assert_close(encoder.encode(pixels, torch.float32), expected, atol=1e-5, rtol=1e-4)
    assert encoder.record()["pool"] == "max"


@pytest.mark.parametrize(
    ("name", "choice", "message"),
    [
        ("resnet18:IMAGENET1K_V3", {}, "no weights 'IMAGENET1K_V3'. There are: IMAGENET1K_V1"),
        ("fcn_resnet50", {}, "no float classifier"),
        ("quantized_resnet50", {}, "no float classifier"),
        ("dino_resnet", {}, "Did you mean dino_resnet50"),
        ("DINOv2", {}, "Did you mean timm:vit_small_patch14_dinov2.lvd142m"),
        ("eva02", {}, "Did you mean timm:eva02"),
        ("clip:ViT-B", {}, "Encoders are efficientnet_lite0"),
        ("resnet18@weights.pth", {"layer": "projector"}, "no projector; it was trained as a classifier"),
        ("resnet18@weights.pth", {"pool": "cls"}, "no class token"),
        ("mnasnet0_5@weights.pth", {"pool": "max"}, "one pooled output"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    name: str, choice: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if "@" in name:
        saved(models.get_model(name.partition("@")[0]), tmp_path)
    with pytest.raises(UsageError, match=message):
        load_encoder(name, CPU, **choice)


def test_a_transform_that_is_no_short_side_resize_is_refused() -> None:
    class Squashing:
        def transforms(self) -> ImageClassification:
            transform = ImageClassification(crop_size=224)
            transform.resize_size = [224, 224]
            return transform

    with pytest.raises(UsageError, match="not a resize of the short side"):
        torchvision_preprocess(Squashing())
