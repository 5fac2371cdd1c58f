"""Crops of images of many shapes on a GPU against the same crops on the CPU."""

import pytest
import torch

from miner.images.augment.crop import crop_and_resize, crop_boxes, draw_crops
from miner.learning.randomness import generator_for
from tests.images.augment.test_crop import ragged_images

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@pytest.mark.parametrize("size", [24, 72])
def test_views_of_many_shapes_are_those_of_the_cpu(size: int) -> None:
    images, draw, gpu = ragged_images(), generator_for(5), torch.device("cuda", 0)
    rows = torch.randint(0, len(images), (150,), generator=draw)  # more than are gathered at once, some repeatedly
    boxes = crop_boxes(draw_crops(150, (0.08, 1.0), draw), images[rows].shapes)
    flipped = torch.rand(150, generator=draw) < 0.5
    expected = crop_and_resize(images[rows], boxes, flipped, size)
    for there in (images.to(gpu)[rows], images[rows].to(gpu)):  # all images on the device, and those of a step
        views = crop_and_resize(there, boxes.to(gpu), flipped.to(gpu), size)
        torch.testing.assert_close(views.cpu(), expected, atol=2e-3, rtol=0)
