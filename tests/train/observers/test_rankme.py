import math

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms.functional import resized_crop

from miner.images.ragged import RaggedImages
from miner.learning.randomness import generator_for
from miner.train.observers.rankme import RankMeObserver, rankme
from tests.train.methods.tiny import make
from tests.train.plans import CPU, plan


def test_equals_the_papers_formula() -> None:
    features = torch.randn(40, 8, generator=generator_for(0)) * torch.arange(1.0, 9.0)
    singular = np.sqrt(np.linalg.eigvalsh((features.T @ features).double().numpy()))
    shares = singular / singular.sum() + 1e-7
    assert rankme(features).item() == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-5)


def test_orthogonal_directions_count_and_copies_do_not() -> None:
    assert rankme(torch.eye(12)).item() == pytest.approx(12.0, rel=1e-4)
    assert rankme(torch.eye(12)[:5].repeat(3, 1)).item() == pytest.approx(5.0, rel=1e-4)
    collapsed = torch.ones(20, 1) @ torch.randn(1, 12, generator=generator_for(1))
    assert rankme(collapsed).item() == pytest.approx(1.0, abs=1e-3)
    assert rankme(torch.zeros(4, 3)).isfinite()


def test_features_that_are_not_finite_have_no_rank() -> None:
    assert rankme(torch.tensor([[1.0, float("nan")], [0.0, 1.0]])).isnan()


def test_the_backbone_is_measured_in_eval_mode_and_unchanged() -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    backbone[1].running_mean.normal_()
    images = torch.randint(0, 256, (64, 3, 10, 10), generator=generator_for(2)).to(torch.uint8)
    state = {name: value.clone() for name, value in backbone.state_dict().items()}
    method, chosen = (
        make("simclr", backbone, 6).train(),
        plan(short_side=10, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25)),
    )
    observer = RankMeObserver(chosen, images, CPU)
    found = observer.on_epoch_end(1, 1, method)["rankme"]
    assert backbone.training and backbone[1].training
    assert all(torch.equal(state[name], value) for name, value in backbone.state_dict().items())
    # A quarter of the images, the centre of each, normalised by channel, through the running statistics.
    rows = torch.linspace(0, 63, 16).long()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (chosen.mean, chosen.std))
    with torch.no_grad():
        expected = rankme(backbone.eval()((images[rows, :, 1:9, 1:9] / 255 - mean) / std))
    assert found == pytest.approx(expected.item(), rel=1e-5)
    assert observer.on_epoch_end(2, 2, method)["rankme"] == found and not backbone.training


def test_the_centre_of_each_image_is_measured_whatever_its_shape() -> None:
    shapes = torch.tensor([[10, 17], [13, 10], [5, 6]])
    pixels = torch.randint(0, 256, (3 * int(shapes.prod(1).sum()),), generator=generator_for(2)).to(torch.uint8)
    images = RaggedImages.of(pixels, shapes)
    centres = RankMeObserver(plan(short_side=10), images, CPU)._centres(torch.arange(3))
    assert torch.equal(centres[0], images[0][:, 1:9, 4:12].float())
    assert torch.equal(centres[1], images[1][:, 2:10, 1:9].float())
    expected = resized_crop(images[2].float(), 0, 1, 4, 4, [8, 8], antialias=True)  # smaller images are enlarged
    torch.testing.assert_close(centres[2], expected, atol=2e-3, rtol=0)
