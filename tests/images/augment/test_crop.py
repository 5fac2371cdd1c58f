from collections.abc import Callable

import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as reference

from miner.images.augment import crop
from miner.images.augment.crop import crop_and_resize, crop_boxes, draw_crops
from miner.images.ragged import RaggedImages
from miner.learning.randomness import generator_for


def boxes_of(count: int, shape: tuple[int, int], generator: torch.Generator, least: float = 0.08) -> torch.Tensor:
    return crop_boxes(draw_crops(count, (least, 1.0), generator), torch.tensor([shape]))


# Of the last shape, no try fits; of the one before, some do.
@pytest.mark.parametrize(
    ("scale", "shape"),
    [
        ((0.08, 1.0), (40, 40)),
        ((0.2, 1.0), (40, 40)),
        ((0.08, 1.0), (40, 61)),
        ((0.4, 1.0), (90, 32)),
        ((0.08, 1.0), (9, 300)),
    ],
)
def test_boxes_are_distributed_as_torchvision_draws_them(scale: tuple[float, float], shape: tuple[int, int]) -> None:
    count = 6000
    ours = boxes_of(count, shape, generator_for(0, "boxes"), scale[0]).double()
    torch.manual_seed(0)
    image = torch.zeros(1, *shape)
    theirs = torch.tensor(
        [RandomResizedCrop.get_params(image, list(scale), [3 / 4, 4 / 3]) for _ in range(count)], dtype=torch.float64
    )
    for name, mine, other in zip(("top", "left", "height", "width"), ours.T, theirs.T, strict=True):
        assert ks_2samp(mine, other).pvalue > 0.001, name
    assert ks_2samp(ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3]).pvalue > 0.001, "area"
    assert ks_2samp(ours[:, 2] / ours[:, 3], theirs[:, 2] / theirs[:, 3]).pvalue > 0.001, "aspect"


def test_boxes_lie_inside_and_reach_every_edge() -> None:
    top, left, height, width = boxes_of(5000, (32, 32), generator_for(1)).unbind(1)
    assert (top >= 0).all() and (left >= 0).all() and (height > 0).all() and (width > 0).all()
    assert (top + height).max() == 32 and (left + width).max() == 32 and top.min() == 0 and left.min() == 0


@pytest.mark.parametrize(("side", "size"), [(32, 32), (28, 32), (40, 32), (64, 24), (90, 72)])
def test_resampling_equals_torchvisions_crop_resize_and_flip(side: int, size: int) -> None:
    draw = generator_for(2)
    images = torch.randint(0, 256, (24, 3, side, side), generator=draw, dtype=torch.uint8)
    boxes = boxes_of(24, (side, side), draw)
    flipped = torch.rand(24, generator=draw) < 0.5
    views = crop_and_resize(images, boxes, flipped, size)
    assert flipped.any() and not flipped.all()
    for image, box, flip, view in zip(images, boxes.tolist(), flipped, views, strict=True):
        expected = reference.resized_crop(image.float(), *box, [size, size], antialias=True)
        expected = reference.hflip(expected) if flip else expected
        torch.testing.assert_close(view, expected, atol=2e-3, rtol=0)


def ragged_images() -> RaggedImages:
    draw = generator_for(4)
    shapes = torch.randint(20, 90, (24, 2), generator=draw)
    shapes[0] = torch.tensor([10, 150])  # no try fits
    pixels = torch.randint(0, 256, (3 * int(shapes.prod(1).sum()),), generator=draw, dtype=torch.uint8)
    return RaggedImages.of(pixels, shapes)


def by_windows(images: RaggedImages, boxes: torch.Tensor, flipped: torch.Tensor, size: int) -> torch.Tensor:
    """The way of a GPU: pixels are gathered into one tensor."""
    return crop._by_windows(images, boxes, flipped, size, images.layout())


@pytest.mark.parametrize(("resample", "size"), [(crop_and_resize, 24), (crop_and_resize, 72), (by_windows, 24)])
def test_images_of_many_shapes_are_resampled_as_by_torchvision(
    resample: Callable[..., torch.Tensor], size: int
) -> None:
    images, draw = ragged_images()[torch.randperm(24, generator=generator_for(6))], generator_for(5)
    boxes = crop_boxes(draw_crops(24, (0.08, 1.0), draw), images.shapes)
    flipped = torch.rand(24, generator=draw) < 0.5
    views = resample(images, boxes, flipped, size)
    for row, (box, flip) in enumerate(zip(boxes.tolist(), flipped, strict=True)):
        expected = reference.resized_crop(images[row].float(), *box, [size, size], antialias=True)
        torch.testing.assert_close(views[row], expected.flip(-1) if flip else expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("size", [32, 72])
def test_ragged_images_of_one_shape_give_the_bits_of_a_tensor(size: int) -> None:
    images = torch.randint(0, 256, (6, 3, 40, 50), generator=generator_for(2), dtype=torch.uint8)
    ragged = RaggedImages.of(images.flatten(), torch.tensor([[40, 50]] * 6))
    boxes, flipped = boxes_of(6, (40, 50), generator_for(3)), torch.arange(6) % 2 == 0
    assert torch.equal(crop_and_resize(ragged, boxes, flipped, size), crop_and_resize(images, boxes, flipped, size))


def test_the_whole_image_at_its_own_size_is_the_image_itself() -> None:
    images = torch.randint(0, 256, (2, 3, 16, 16), generator=generator_for(3), dtype=torch.uint8)
    whole = torch.tensor([[0, 0, 16, 16]] * 2)
    assert torch.equal(crop_and_resize(images, whole, torch.tensor([False, True]), 16)[0], images[0].float())
    assert torch.equal(crop_and_resize(images, whole, torch.tensor([False, True]), 16)[1], images[1].flip(-1).float())
