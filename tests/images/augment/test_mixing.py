import math

import pytest
import torch

from miner.images.augment.mixing import cut_and_paste, draw_slots, mix_patches
from miner.learning.randomness import generator_for

SIZE = 9


@pytest.mark.parametrize("drawn", [(0.3, 0.5, 0.2), (0.05, 0.0, 0.99), (0.999, 0.5, 0.5), (0.6, 0.95, 0.95)])
def test_a_box_of_the_other_image_is_pasted_pixel_by_pixel(drawn: tuple[float, float, float]) -> None:
    images = torch.arange(2 * 3 * SIZE * SIZE, dtype=torch.float64).view(2, 3, SIZE, SIZE)
    mixed, share = cut_and_paste(images, -images, torch.tensor(drawn))
    half = int(SIZE * math.sqrt(1 - drawn[0])) // 2
    row, column = (int(SIZE * place) for place in drawn[1:])
    kept = 0
    for y in range(SIZE):
        for x in range(SIZE):
            pasted = row - half <= y < row + half and column - half <= x < column + half
            kept += not pasted
            assert torch.equal(mixed[..., y, x], -images[..., y, x] if pasted else images[..., y, x])
    assert share.item() == pytest.approx(kept / SIZE**2)


@pytest.mark.parametrize(("size", "side", "count"), [(8, 4, 2), (8, 4, 3), (9, 4, 3), (8, 4, 1)])
def test_mixtures_are_those_of_a_loop_over_patches(size: int, side: int, count: int) -> None:
    batch, patch = 5, size // side
    images = torch.arange(batch * 3 * size * size, dtype=torch.float64).view(batch, 3, size, size)
    slots = draw_slots(side, count, generator_for(0))
    mixed, shares = mix_patches(images, images[: count - 1], slots)
    expected, pixels = images.clone(), [size * size] + [0] * (count - 1)
    for row in range(side):
        for column in range(side):
            slot = int(slots[row, column])
            y, x = (slice(patch * place, patch * (place + 1)) for place in (row, column))
            for image in range(batch):
                expected[image, :, y, x] = images[(image + slot) % batch, :, y, x]
            pixels[0] -= patch**2
            pixels[slot] += patch**2
    assert torch.equal(mixed, expected)
    torch.testing.assert_close(shares, torch.tensor(pixels, dtype=torch.float64) / size**2)


@pytest.mark.parametrize(("side", "count"), [(4, 2), (4, 3), (3, 5), (2, 4)])
def test_each_image_has_as_many_patches_at_random_places(side: int, count: int) -> None:
    slots, others = (draw_slots(side, count, generator_for(seed)) for seed in (0, 1))
    each = side**2 // count
    assert torch.bincount(slots.flatten()).tolist() == [side**2 - each * (count - 1)] + [each] * (count - 1)
    assert slots.shape == (side, side) and not torch.equal(slots, others)
