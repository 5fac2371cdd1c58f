import faiss
import torch
from torch.nn import functional as F

from miner.learning.randomness import generator_for
from miner.train.losses.mixed_neighbours import mixed_with_nearest, nearest_places


def unit(count: int, number: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, 6, generator=generator_for(0, number)), dim=1)


def test_the_nearest_are_those_of_faiss_without_absent_places() -> None:
    keys, supports, absent = unit(5, 0), unit(20, 1), torch.arange(20) >= 12
    index = faiss.IndexFlatIP(6)
    index.add(supports[:12].numpy())
    assert nearest_places(keys, supports, absent, 4).tolist() == index.search(keys.numpy(), 4)[1].tolist()


def test_missing_supports_are_places_below_zero() -> None:
    keys, supports = unit(2, 0), unit(4, 1)
    absent = torch.tensor([[True, False, True, True], [True] * 4])
    assert nearest_places(keys, supports, absent, 3).tolist() == [[1, -1, -1], [-1, -1, -1]]
    assert nearest_places(keys, supports, torch.zeros(4, dtype=torch.bool), 9).shape == (2, 4)


def test_a_mixture_is_the_mean_over_neighbours_and_the_key() -> None:
    keys, supports, share = unit(3, 0), unit(9, 1), torch.tensor(0.3)
    mixed = mixed_with_nearest(keys, supports, torch.zeros(9, dtype=torch.bool), 2, share)
    for key, mixture in zip(keys, mixed, strict=True):
        one, two = sorted(supports, key=lambda support: -(support @ key).item())[:2]
        expected = (0.3 * one + 0.7 * key) / 2 + (0.3 * two + 0.7 * key) / 2
        torch.testing.assert_close(mixture, expected)


def test_a_key_takes_the_place_of_what_is_missing() -> None:
    keys, supports, share = unit(2, 0), unit(4, 1), torch.tensor(0.6)
    torch.testing.assert_close(mixed_with_nearest(keys, supports, torch.ones(4, dtype=torch.bool), 3, share), keys)
    mixed = mixed_with_nearest(keys, supports, torch.arange(4) > 0, 3, share)
    torch.testing.assert_close(mixed, 0.2 * supports[0] + 0.8 * keys)
