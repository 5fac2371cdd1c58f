"""The grid against a loop that is written out, one learning rate at a time."""

import math

import numpy as np
import pytest
import torch

from miner.engine import Progress
from miner.evaluate.linear_sgd import LRS, lr_factors, new_layer, train_grid
from miner.evaluate.options import LinearOptions
from miner.learning.randomness import generator_for

COUNT, WIDTH, CLASSES = 23, 4, 3
OPTIONS = LinearOptions(mode="augmented", epochs=3, batch_size=5, seed=4)


def features_of(rows: torch.Tensor, step: int) -> torch.Tensor:
    noise = torch.randn(len(rows), WIDTH, generator=generator_for(0, "noise", step))
    return torch.randn(COUNT, WIDTH, generator=generator_for(0, "features"))[rows] + 0.3 * noise


def by_hand(lr: float, without: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """SGD with momentum 0.9 on softmax regression, in numpy with the gradient written out."""
    labels = np.arange(COUNT) % CLASSES
    start = new_layer(WIDTH, CLASSES, 4)
    weight, bias = start.weight.detach().double().numpy(), np.zeros(CLASSES)
    moved = np.zeros_like(weight), np.zeros_like(bias)
    step, steps = 0, 3 * 5
    for epoch in range(3):
        order = torch.randperm(COUNT, generator=generator_for(4, "linear order", epoch)).numpy()
        for first in range(0, COUNT, 5):
            rows = order[first : first + 5]
            features = features_of(torch.from_numpy(rows), step).double().numpy()
            if without is not None:
                features, rows = features[~without[rows]], rows[~without[rows]]
            scores = np.exp(features @ weight.T + bias)
            error = scores / scores.sum(1, keepdims=True) - np.eye(CLASSES)[labels[rows]]
            gradient = error.T @ features / max(1, len(rows)), error.sum(0) / max(1, len(rows))
            moved = tuple(0.9 * old + new for old, new in zip(moved, gradient, strict=True))
            lr_now = lr * 5 / 256 * 0.5 * (1 + math.cos(math.pi * step / steps))
            weight, bias = weight - lr_now * moved[0], bias - lr_now * moved[1]
            step += 1
    return weight, bias


def test_every_layer_is_what_a_loop_of_its_own_gives() -> None:
    validation = torch.arange(COUNT) % 4 == 1
    with Progress("linear", 3 * COUNT) as progress:
        grid = train_grid(*(OPTIONS, features_of, torch.arange(COUNT) % CLASSES, validation, WIDTH, CLASSES, progress))
    assert progress.count == 3 * COUNT and len(grid.choosing) == len(grid.reported) == len(LRS)
    for layers, without in ((grid.choosing, validation.numpy()), (grid.reported, None)):
        for lr, layer in zip(LRS, layers, strict=True):
            weight, bias = by_hand(lr, without)
            np.testing.assert_allclose(layer.weight.detach().numpy(), weight, atol=1e-4, rtol=1e-4)
            np.testing.assert_allclose(layer.bias.detach().numpy(), bias, atol=1e-4, rtol=1e-4)


def test_the_step_schedule_falls_after_60_and_80_epochs_of_100() -> None:
    factors = lr_factors("step", 1000)
    assert factors[[0, 599]].tolist() == [1.0, 1.0]
    assert factors[[600, 799, 800, 999]] == pytest.approx([0.1, 0.1, 0.01, 0.01])
