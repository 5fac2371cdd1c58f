from dataclasses import replace

import torch

from miner.images.augment.settings import ViewSettings
from miner.images.augment.views import Augmentation
from miner.learning.randomness import generator_for

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def pictures(count: int, side: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, side, side), generator=generator_for(0), dtype=torch.uint8)


def test_the_same_seed_gives_the_same_views_and_another_others() -> None:
    augment = Augmentation(32, MEAN, STD)
    images = pictures(16, 32)
    first, again, other = (augment(images, generator_for(0, "step", step)) for step in (1, 1, 2))
    assert torch.equal(first, again)
    assert (first != other).flatten(1).any(1).all()


def test_a_part_of_the_batch_has_the_views_of_the_whole() -> None:
    images, part = pictures(16, 120), torch.tensor([3, 8, 15])
    augment = Augmentation(96, MEAN, STD)
    parameters = augment.draw_parameters(16, generator_for(0))
    torch.testing.assert_close(
        augment.apply(images[part], parameters[part].ready(images[part])),
        augment(images, generator_for(0))[part],
        atol=1e-6,
        rtol=1e-5,
    )


def test_two_copies_of_an_image_in_one_batch_get_different_views() -> None:
    images = pictures(1, 32).expand(2, -1, -1, -1)
    one, two = Augmentation(32, MEAN, STD)(images, generator_for(0))
    assert not torch.equal(one, two)


def test_views_have_the_size_and_range_of_normalised_pixels() -> None:
    for side, size in ((32, 32), (28, 16), (120, 96)):
        views = Augmentation(size, MEAN, STD)(pictures(64, side), generator_for(1))
        assert views.shape == (64, 3, size, size) and views.dtype == torch.float32
        assert views.is_contiguous(memory_format=torch.channels_last)
        pixels = views * torch.tensor(STD).view(1, 3, 1, 1) + torch.tensor(MEAN).view(1, 3, 1, 1)
        assert pixels.min() > -1e-4 and pixels.max() < 1 + 1e-4


def test_a_fifth_of_the_views_is_grey() -> None:
    views = Augmentation(16, (0.0,) * 3, (1.0,) * 3)(pictures(4000, 16), generator_for(2))
    grey = (views - views[:, :1]).abs().flatten(1).amax(1) < 1e-5
    assert abs(grey.float().mean() - 0.2) < 0.03


def test_shares_of_jitter_and_grey_are_those_of_each_view() -> None:
    settings = ViewSettings(area=(0.99, 1.0), jittered=(0.0, 1.0), grey=(0.5, 0.0))
    parameters = Augmentation(16, MEAN, STD, settings).draw_parameters(4000, generator_for(2))
    assert parameters.jitter.applied.view(2, -1).float().mean(dim=1).tolist() == [0, 1]
    first, second = parameters.grey.view(2, -1).float().mean(dim=1)
    assert abs(first - 0.5) < 0.03 and second == 0


def test_views_are_blurred_and_solarised_as_often_as_said() -> None:
    noise = pictures(128, 48)
    whole = ViewSettings(area=(0.99, 1.0), jitter=(0.0,) * 4)

    def made(**changes: tuple[float, float]) -> torch.Tensor:
        augment = Augmentation(48, (0.0,) * 3, (1.0,) * 3, replace(whole, **changes))
        return augment(noise, generator_for(3))

    def detail(views: torch.Tensor) -> torch.Tensor:
        return (views[..., 1:] - views[..., :-1]).abs().mean(dim=(1, 2, 3))

    # White noise loses most of its detail under blur, which crops do not take from it.
    first, second = (detail(made(blur=(1.0, 0.1))) < 0.6 * detail(made())).chunk(2)
    assert first.sum() > 50 and 0 < second.sum() < 20
    solarised = made(solarise=(0.0, 0.5)).amax(dim=(1, 2, 3)) <= 0.5
    first, second = solarised.chunk(2)
    assert first.sum() == 0 and 20 < second.sum() < 44
    sigma = (
        Augmentation(48, MEAN, STD, replace(whole, blur=(0.0, 1.0)))
        .draw_parameters(10, generator_for(3), firsts=3)
        .sigma
    )
    assert (sigma > 0).tolist() == [False] * 3 + [True] * 7
