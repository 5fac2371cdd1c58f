from itertools import permutations

import torch
from torchvision.transforms import functional as reference

from miner.images.augment.colour import JitterParameters, draw_jitter, jitter, to_grey
from miner.learning.randomness import generator_for

REFERENCE = (
    reference.adjust_brightness,
    reference.adjust_contrast,
    reference.adjust_saturation,
    reference.adjust_hue,
)


def images(count: int) -> torch.Tensor:
    noise = torch.rand(count, 3, 12, 12, generator=generator_for(0, "images"))
    noise[0] = noise[0, :1]  # a grey image, whose hue is undefined
    noise[1, :, :6] = 0.0
    noise[2, :, :6] = 1.0
    return noise


def test_jitter_equals_torchvision_in_every_order() -> None:
    orders = torch.tensor(list(permutations(range(4))))
    parameters = draw_jitter(len(orders), (0.4, 0.4, 0.4, 0.1), 1.0, generator_for(0))
    parameters = JitterParameters(parameters.factors, orders, parameters.applied)
    before = images(len(orders))
    after = jitter(before.clone(), parameters.turns())
    for row, order in enumerate(orders.tolist()):
        expected = before[row]
        for operation in order:
            expected = REFERENCE[operation](expected, float(parameters.factors[row, operation]))
        torch.testing.assert_close(after[row], expected, atol=1e-5, rtol=0)


def test_orders_are_equally_likely_and_factors_fill_the_range() -> None:
    parameters = draw_jitter(24_000, (0.4, 0.4, 0.4, 0.1), 0.8, generator_for(1))
    code = (parameters.order * torch.tensor([64, 16, 4, 1])).sum(1)
    counts = torch.unique(code, return_counts=True)[1]
    assert len(counts) == 24
    # Each count is binomial with mean 1000 and deviation 31.
    assert (counts - 1000).abs().max() < 5 * 31
    low, high = parameters.factors.amin(0), parameters.factors.amax(0)
    torch.testing.assert_close(low, torch.tensor([0.6, 0.6, 0.6, -0.1]), atol=1e-3, rtol=0)
    torch.testing.assert_close(high, torch.tensor([1.4, 1.4, 1.4, 0.1]), atol=1e-3, rtol=0)
    torch.testing.assert_close(parameters.factors.mean(0), torch.tensor([1.0, 1.0, 1.0, 0.0]), atol=0.01, rtol=0)
    assert abs(parameters.applied.float().mean() - 0.8) < 0.02


def test_images_that_are_not_chosen_stay_as_they_are() -> None:
    before = images(8)
    parameters = draw_jitter(8, (0.4, 0.4, 0.4, 0.1), 0.5, generator_for(3))
    after = jitter(before.clone(), parameters.turns())
    changed = (after != before).flatten(1).any(1)
    assert torch.equal(changed, parameters.applied)
    assert changed.any() and not changed.all()


def test_grey_equals_torchvision() -> None:
    noise = images(4)
    torch.testing.assert_close(to_grey(noise), reference.rgb_to_grayscale(noise))
