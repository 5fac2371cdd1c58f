import pytest
import torch

from miner.images.augment.settings import ViewSettings
from miner.images.augment.views import Augmentation
from miner.learning.randomness import generator_for
from miner.train.data.batch_maker import BatchMaker
from miner.train.data.further_views import FurtherViews
from tests.train.plans import plan


def test_crops_show_small_parts_of_anchor_and_positive_in_turn() -> None:
    ramp = torch.arange(0, 128, 4, dtype=torch.uint8).expand(3, 32, 32)
    anchors, positives = ramp.expand(16, -1, -1, -1), (ramp + 128).expand(16, -1, -1, -1)
    settings = ViewSettings(area=(0.05, 0.14), jitter=(0.0,) * 4)
    further = FurtherViews(3, Augmentation(12, (0.0,) * 3, (1.0,) * 3, settings))
    crops = further(anchors, positives, further.draw(anchors, positives, generator_for(0)))
    assert [crop.shape for crop in crops] == [(16, 3, 12, 12)] * 3
    assert [bool((crop < 0.5).all()) for crop in crops] == [True, False, True] and (crops[1] >= 0.5).all()
    # 14 % of the area at an aspect of 4 to 3 is less than half of the width, over which the ramp rises by one half.
    assert all((crop.amax(dim=(1, 2, 3)) - crop.amin(dim=(1, 2, 3)) < 0.22).all() for crop in crops)
    assert not torch.equal(crops[0], crops[2])


@pytest.mark.parametrize(("method", "count"), [("reco", 1), ("fnc", 2), ("moco", 0)])
def test_further_views_are_those_of_the_method(method: str, count: int) -> None:
    images = torch.randint(0, 256, (20, 3, 8, 8), generator=generator_for(0), dtype=torch.uint8)
    make = BatchMaker(plan(method=method, augmentation="moco", least_area=0.3), images, torch.device("cpu"), None)
    assert [view.shape for view in make(torch.arange(10).view(2, 5), 0).further] == [(5, 3, 8, 8)] * count
    settings = make.further.augment.settings
    if method == "reco":
        assert settings.area == (0.3, 1.0) and not any((*settings.jittered, *settings.grey, *settings.blur))
    if method == "fnc":
        assert settings == make.augment.settings and settings.blur == (0.5, 0.5)


def test_without_its_global_relation_reco_has_no_weak_view() -> None:
    assert plan(method="reco", global_=False).further_views.count == 0


def test_no_crops_draw_nothing() -> None:
    draw = generator_for(0)
    before = draw.get_state()
    assert FurtherViews(0, Augmentation(12, (0.0,), (1.0,))).draw(torch.empty(0), torch.empty(0), draw) == ()
    assert torch.equal(draw.get_state(), before)
