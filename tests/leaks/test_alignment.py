"""Copies fit each other, other images do not."""

import numpy as np
import pytest
from PIL import Image

from miner.leaks.alignment import SIDE, align, small_grey
from miner.leaks.matches import COPY
from tests.leaks.pictures import changed, picture

IMAGES = [picture(seed) for seed in range(8)]
CHANGES = [*changed(IMAGES[0])]


def aligned(first: list[Image.Image], second: list[Image.Image]):
    return align(*(np.stack([*map(small_grey, images)]) for images in (first, second)))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_copy_fits_its_original(change: str, swapped: bool) -> None:
    sides = [IMAGES, [changed(image)[change] for image in IMAGES]]
    found = aligned(*(sides[::-1] if swapped else sides))
    assert (found.correlation > COPY).all()
    assert np.allclose(found.share, {"cropped": 0.6, "square": 0.75}.get(change, 1.0), atol=0.06)
    assert ((found.orientation >= 4) == (change == "mirrored")).all()
    assert ((found.orientation % 2 == 1) == (change == "turned")).all()


def test_other_images_do_not_fit() -> None:
    found = aligned(IMAGES, IMAGES[1:] + IMAGES[:1])
    assert (found.correlation < COPY - 0.2).all()


def test_images_without_structure_fit_nothing() -> None:
    blank = [Image.new("RGB", (60, 60), colour) for colour in ("white", "black")]
    found = aligned([*blank, blank[0]], [*blank, IMAGES[0]])
    assert np.isfinite(found.correlation).all() and (np.abs(found.correlation) < 0.5).all()
    assert small_grey(blank[0]).shape == (SIDE, SIDE)
