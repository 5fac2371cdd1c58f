"""The sentence at the end of every accuracy."""

import pytest
import torch

from miner.evaluate.verdict import mean_gain, paired_gain, verdict_sentence


def named(right: int, count: int, shift: int = 0) -> torch.Tensor:
    return (torch.arange(count) + shift) % count < right


def test_the_interval_is_that_of_agresti_and_min() -> None:
    ours, other = torch.tensor([True] * 25 + [False] * 75), torch.tensor([False] * 20 + [True] * 15 + [False] * 65)
    # Right / wrong by ours and the other: 5 both, 20 only ours, 10 only the other, 65 neither; half an image is added to each.
    won, lost, count = 20.5, 10.5, 102.0
    half = 1.959964 * ((won + lost) - (won - lost) ** 2 / count) ** 0.5 / count
    expected = (10.0, 100 * ((won - lost) / count - half), 100 * ((won - lost) / count + half))
    assert paired_gain(ours, other) == pytest.approx(expected, abs=1e-4)


def test_agreement_on_few_images_is_not_certain() -> None:
    gain, low, high = paired_gain(named(10, 10), named(10, 10))
    assert gain == 0 and low < -5 and high > 5


def test_intervals_hold_the_true_gain_as_often_as_they_say() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(400, 200, 2, generator=generator)
    ours, other = draws[..., 0] < 0.6, draws[..., 1] < 0.5
    held = [low <= 10 <= high for _, low, high in map(paired_gain, ours, other)]
    assert 0.92 <= sum(held) / len(held) <= 0.98


def test_a_mean_over_classes_weighs_classes_alike() -> None:
    classes, other = torch.tensor([0] * 90 + [1] * 10), torch.zeros(100, dtype=torch.bool)
    gain, low, high = mean_gain(classes == 1, other, classes)
    # Class 0 has no image on which they differ, class 1 has ten that only ours names; half an image is added to each cell.
    half = 1.959964 * (1 / 92 / 90 + (11 / 12 - (10 / 12) ** 2) / 10) ** 0.5 / 2
    assert (gain, low, high) == pytest.approx((50, 50 - 100 * half, 50 + 100 * half), abs=1e-4)


def test_classes_of_one_image_are_not_certain() -> None:
    right = torch.ones(2, dtype=torch.bool)
    gain, low, high = mean_gain(right, ~right, torch.arange(2))
    assert gain == 100 and high - low > 100


def test_intervals_over_classes_hold_the_true_gain() -> None:
    draws, classes = torch.rand(400, 200, 2, generator=torch.Generator().manual_seed(1)), torch.arange(200) % 20
    ours, other = draws[..., 0] < 0.6, draws[..., 1] < 0.5
    gains = [mean_gain(a, b, classes) for a, b in zip(ours, other, strict=True)]
    held = [low <= 10 <= high for _, low, high in gains]
    assert sum(held) / len(held) >= 0.93


@pytest.mark.parametrize(("right", "word"), [(90, "better than"), (10, "worse than"), (50, "not clearly other than")])
def test_the_sentence_says_which_is_better(right: int, word: str) -> None:
    text = verdict_sentence(named(right, 100), {"random weights": named(50, 100, 50), "the encoder": named(right, 100)})
    assert text.startswith(f"{word} random weights: ") and "not clearly other than the encoder: +0.0 points" in text
    assert text.endswith("(95 % intervals over 100 test images)")
