import torch

from miner.images.ragged import RaggedImages, shapes_of
from miner.learning.randomness import generator_for

SHAPES = torch.tensor([[4, 9], [7, 3], [5, 5], [5, 5]])


def ragged() -> RaggedImages:
    pixels = torch.randint(0, 256, (3 * int(SHAPES.prod(1).sum()),), generator=generator_for(0), dtype=torch.uint8)
    return RaggedImages.of(pixels, SHAPES)


def test_chosen_images_are_views_of_the_buffer_in_any_order() -> None:
    images = ragged()
    chosen = images[torch.tensor([3, 0, 3])]
    assert [list(chosen[row].shape) for row in range(3)] == [[3, 5, 5], [3, 4, 9], [3, 5, 5]]
    assert torch.equal(torch.cat([images[row].flatten() for row in range(4)]), images.pixels)
    chosen[1].fill_(7)
    assert (images[0] == 7).all() and len(chosen[1:]) == 2 and torch.equal(shapes_of(chosen), SHAPES[[3, 0, 3]])


def test_images_of_one_shape_are_stacked_and_others_stay() -> None:
    images = ragged()
    alike = images[torch.tensor([2, 3, 2])].stacked()
    assert isinstance(alike, torch.Tensor) and torch.equal(alike, torch.stack([images[2], images[3], images[2]]))
    assert images.stacked() is images
    buffer = torch.arange(24, dtype=torch.uint8)
    whole = RaggedImages.of(buffer, torch.tensor([[2, 2]] * 2)).stacked()
    assert whole.shape == (2, 3, 2, 2) and whole.data_ptr() == buffer.data_ptr()


def test_another_device_gets_each_image_once() -> None:
    # The meta device takes shapes without values, so this copies as to a GPU.
    images, meta = ragged(), torch.device("meta")
    rows = torch.tensor([2, 0, 2, 0, 0])
    moved = images[rows].to(meta)
    assert len(moved.pixels) == 3 * (25 + 36) and torch.equal(moved.shapes, SHAPES[rows])
    assert moved.starts.tolist() == [108, 0, 108, 0, 0]
    assert images.to(meta).nbytes == images.nbytes and images.to(torch.device("cpu")) is images
