"""The parts of the detector: its layers, its learning rates, its batches."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from miner.downstream.detect.annotations import AnnotatedImage
from miner.downstream.detect.batches import DetectionBatch, single_images, training_batches
from miner.downstream.detect.detector import c4_detector
from miner.downstream.detect.training import _optimizer, lr_by_step, norm_batches
from miner.errors import MinerError
from miner.evaluate.detect_options import DetectOptions
from miner.learning.networks.backbones import build_resnet, build_vit

SIZES = {"sides": [64], "longest": 64, "regions": 4, "test_regions": 4, "seed": 0}
MEAN = STD = (0.5, 0.5, 0.5)


def options(**changes: object) -> DetectOptions:
    return DetectOptions.parse({"train": ["a:b"], "test": ["a:b"], **changes})


def test_the_detector_trains_every_layer_of_the_backbone() -> None:
    backbone = torchvision.models.resnet18()
    detector = c4_detector(backbone, 3, MEAN, STD, **SIZES)
    assert detector.backbone.conv1.weight is backbone.conv1.weight
    assert detector.roi_heads.box_head[0] is backbone.layer4
    assert isinstance(detector.roi_heads.box_head[1], torch.nn.BatchNorm2d)
    targets = [{"boxes": torch.tensor([[8.0, 8.0, 40.0, 40.0]]), "labels": torch.tensor([1])}] * 2
    losses = detector.train()([torch.rand(3, 64, 64)] * 2, targets)
    torch.stack([*losses.values()]).sum().backward()
    assert all(weight.grad is not None and weight.requires_grad for weight in detector.parameters())
    assert detector.roi_heads.box_predictor.cls_score.out_features == 4


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: build_vit("vit_tiny", 32, 8, 0)[0], "of another kind"),
        (lambda: torchvision.models.mobilenet_v3_small(), "of another kind"),
        (lambda: build_resnet("resnet18", "cifar", 0)[0], "--stem imagenet"),
    ],
)
def test_other_networks_are_refused(network, message) -> None:
    with pytest.raises(MinerError, match=message):
        c4_detector(network(), 3, MEAN, STD, **SIZES)


def test_learning_rate_rises_and_falls_as_in_moco() -> None:
    lrs = lr_by_step(options())
    assert len(lrs) == 24_000 and lrs[0] == pytest.approx(2e-5) and lrs[50] == pytest.approx(0.01, rel=0.01)
    np.testing.assert_allclose(lrs[[100, 17_999, 18_000, 21_999, 22_000]], [0.02, 0.02, 0.002, 0.002, 0.0002])
    assert lr_by_step(options(iterations=4, batch_size=8, warmup=0)).tolist() == pytest.approx(
        [0.01, 0.01, 0.01, 0.001]
    )
    assert (norm_batches(options()), norm_batches(options(iterations=25))) == (200, 3)
    assert options().sides == (*range(480, 801, 32),) and options(side=500).sides == (480, 500)


def test_weight_decay_spares_batch_norms() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    decayed, spared = (group for group in _optimizer(network).param_groups)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (1e-4, 0.0)
    assert [*map(id, spared["params"])] == [*map(id, network[1].parameters())] and len(decayed["params"]) == 2


@pytest.fixture
def images(tmp_path: Path) -> list[AnnotatedImage]:
    """Five images of one colour each, left of a white column, with a box whose left edge tells the image."""
    made = []
    for number in range(5):
        pixels = np.full((8, 20, 3), 40 * number, np.uint8)
        pixels[:, 19] = 255
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        box = np.array([[number, 1, 15, 7]], np.float32)
        made.append(AnnotatedImage(tmp_path / f"{number}.png", box, np.array([0]), np.array([False])))
    return made


def test_batches_depend_on_seed_and_step_alone(images: list[AnnotatedImage]) -> None:
    def shown(start: int, seed: int = 0) -> list[DetectionBatch]:
        return list(training_batches(images, 3, seed, range(start, 10), 1))

    whole, rest, other = shown(0), shown(4), shown(0, 1)
    assert [batch.images[0].tolist() for batch in whole[4:]] == [batch.images[0].tolist() for batch in rest]
    assert [batch.images[0].tolist() for batch in whole] != [batch.images[0].tolist() for batch in other]
    colours = [round(float(image.min()) * 255 / 40) for batch in whole for image in batch.images]
    assert all(sorted(colours[start : start + 5]) == [0, 1, 2, 3, 4] for start in range(0, 30, 5))


def test_half_of_the_images_are_mirrored_with_their_boxes(images: list[AnnotatedImage]) -> None:
    mirrored = 0
    for batch in islice(training_batches(images, 5, 0, range(8), 1), 8):
        for image, target in zip(batch.images, batch.targets, strict=True):
            number, flipped = round(float(image.min()) * 255 / 40), bool(image[0, 0, 0] == 1.0)
            mirrored += flipped
            expected = [20 - 15, 1, 20 - number, 7] if flipped else [number, 1, 15, 7]
            assert target["boxes"].tolist() == [expected] and target["labels"].tolist() == [1]
    assert 10 < mirrored < 30


def test_boxes_are_cut_at_the_edges(images: list[AnnotatedImage]) -> None:
    images[0].boxes[0] = [-3, -1, 30, 7]
    (batch,) = single_images(images[:1], 1)
    assert batch.targets[0]["boxes"].tolist() == [[0, 0, 20, 7]]
    images[0].boxes[0] = [25, 1, 30, 7]
    with pytest.raises(MinerError, match=r"0\.png has 20 x 8 pixels, and its box \[25.* lies outside"):
        list(single_images(images, 1))


def test_damaged_photograph_is_named(images: list[AnnotatedImage]) -> None:
    images[3].path.write_bytes(images[3].path.read_bytes()[:60])
    with pytest.raises(MinerError, match=r"3\.png cannot be used"):
        list(training_batches(images, 5, 0, range(2), 1))
