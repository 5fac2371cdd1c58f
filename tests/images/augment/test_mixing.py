import math

import pytest
import torch

from miner.images.augment.mixing import cut_and_paste

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
