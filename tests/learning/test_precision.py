"""Under bfloat16 autocast, every loss is what it is without."""

from collections.abc import Callable

import pytest
import torch

from miner.learning.unit_rows import negative_cosine
from miner.train.losses.barlow_twins import barlow_twins
from miner.train.losses.dino import dino, moved_centre, teacher_targets
from miner.train.losses.info_nce import info_nce_logits
from miner.train.losses.nnclr import nearest_supports, nnclr_logits
from miner.train.losses.nt_xent import nt_xent_logits
from miner.train.losses.vicreg import covariance, invariance, variance
from miner.train.methods.dino import prototype_logits
from tests.learning.numbers import unit_features

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

LOSSES: dict[str, Loss] = {
    "info_nce_logits": lambda a, b: info_nce_logits(a, b, b, 0.1),
    "nt_xent_logits": lambda a, b: nt_xent_logits(a, b, 0.1),
    "nnclr_logits": lambda a, b: nnclr_logits(a, b, 0.1),
    "nearest_supports": lambda a, b: nearest_supports(a, b, torch.zeros(len(b), dtype=torch.bool)),
    "negative_cosine": negative_cosine,
    "invariance": invariance,
    "variance": variance,
    "covariance": covariance,
    "barlow_twins": lambda a, b: barlow_twins(a, b)["loss"],
    "teacher_targets": lambda a, b: teacher_targets(a, b[0], 0.04),
    "dino": lambda a, b: dino(a, b.float().softmax(1), 0.1),
    "moved_centre": lambda a, b: moved_centre(a[0], b, 0.9),
    "prototype_logits": prototype_logits,
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("narrow", [False, True])
def test_losses_are_float32_under_bfloat16_autocast(name: str, narrow: bool) -> None:
    first, second = (unit_features(16, 64, side).float() for side in ("first", "second"))
    if narrow:  # what the networks give under autocast
        first, second = first.bfloat16(), second.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        inside = LOSSES[name](first, second)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, LOSSES[name](first.float(), second.float()))
