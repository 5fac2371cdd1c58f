import math
from typing import Any

import torch
from torch import nn

from miner.train.loop.optimizer import ScheduledOptimizer
from miner.train.methods import Method
from miner.train.methods.base import ParameterGroup
from tests.train.plans import plan


class Two(Method):
    """A layer that follows the schedule and one that does not."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(nn.Linear(3, 4))
        self.predictor = nn.Linear(4, 2)

    def forward(self, batch: Any) -> dict[str, torch.Tensor]:
        return {"loss": self.predictor(self.backbone(torch.ones(2, 3))).square().sum()}

    def parameter_groups(self) -> list[ParameterGroup]:
        return [
            ParameterGroup(list(self.backbone.parameters())),
            ParameterGroup(list(self.predictor.parameters()), constant_lr=True),
        ]


def trained(steps: int = 3, **changes: object) -> tuple[Two, ScheduledOptimizer, list[dict[str, torch.Tensor]]]:
    method = Two()
    updates = ScheduledOptimizer(plan(**changes), method)
    outcomes = []
    for step in range(steps):
        updates.prepare(step)
        method(None)["loss"].backward()
        outcomes.append(updates.apply())
    return method, updates, outcomes


def test_sgd_is_todays_and_the_constant_group_stays_at_the_peak() -> None:
    method, _, outcomes = trained(weight_decay=5e-4, epochs=2)
    twin = Two()
    encoder, predictor = twin.backbone.parameters(), twin.predictor.parameters()
    oracle = torch.optim.SGD([{"params": encoder}, {"params": predictor}], lr=0.1, momentum=0.9, weight_decay=5e-4)
    for step in range(3):
        oracle.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * step / 8))
        oracle.zero_grad()
        twin(None)["loss"].backward()
        oracle.step()
    for one, two in zip(method.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, two)
    assert outcomes == [{}, {}, {}]


def test_lars_adapts_the_steps_of_weights_and_not_of_biases() -> None:
    lr, decay = 0.5, 0.01
    before = {name: value.detach().clone() for name, value in Two().named_parameters()}
    twin = Two()
    twin(None)["loss"].backward()
    method, _, _ = trained(1, optimizer="lars", decay_on="weights", lr_peak=lr, weight_decay=decay)
    for name, parameter in twin.named_parameters():
        gradient, old = parameter.grad, before[name]
        if name.endswith("weight"):  # You et al. 2017, equations 4 and 6
            local = 0.001 * old.norm() / (gradient.norm() + decay * old.norm())
            expected = old - lr * local * (gradient + decay * old)
        else:
            expected = old - lr * gradient
        torch.testing.assert_close(method.get_parameter(name), expected, msg=name)


def test_a_clipped_rate_never_exceeds_the_learning_rate() -> None:
    before = {name: value.detach().clone() for name, value in Two().named_parameters()}
    twin = Two()
    twin(None)["loss"].backward()
    rates = {name: 0.02 * before[name].norm() / p.grad.norm() for name, p in twin.named_parameters() if p.ndim > 1}
    lr = float(sum(rates.values()) / 2)  # between the two
    method, _, _ = trained(
        1, optimizer="lars", trust_coefficient=0.02, trust_clip=True, decay_on="weights", lr_peak=lr, weight_decay=0.0
    )
    for name, rate in rates.items():
        expected = before[name] - min(float(rate), lr) * twin.get_parameter(name).grad
        torch.testing.assert_close(method.get_parameter(name), expected, msg=name)


def test_lars_without_decay_still_adapts() -> None:
    before = Two().backbone.weight.detach().clone()
    method, _, _ = trained(1, optimizer="lars", decay_on="weights", lr_peak=1.0, weight_decay=0.0)
    moved = (method.backbone.weight - before).norm()
    torch.testing.assert_close(moved, 0.001 * before.norm(), rtol=1e-4, atol=0)


def test_adamw_and_its_decay_follow_the_steps() -> None:
    changes = {"optimizer": "adamw", "decay_on": "weights", "weight_decay": 0.04, "final_weight_decay": 0.4}
    method, _, _ = trained(3, **changes, lr_peak=0.01, epochs=1, steps_per_epoch=4)
    twin = Two()
    weights = [parameter for name, parameter in twin.named_parameters() if name.endswith("weight")]
    biases = [parameter for name, parameter in twin.named_parameters() if name.endswith("bias")]
    oracle = torch.optim.AdamW([{"params": [value]} for value in (*weights, *biases)])
    for step in range(3):
        turn = math.cos(math.pi * step / 4)
        for number, group in enumerate(oracle.param_groups):
            group["lr"] = 0.01 * 0.5 * (1 + turn) if number in (0, 2) else 0.01
            group["weight_decay"] = 0.4 - 0.36 * 0.5 * (1 + turn) if number < 2 else 0.0
        oracle.zero_grad()
        twin(None)["loss"].backward()
        oracle.step()
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(method.get_parameter(name), parameter, msg=name)


def test_a_long_gradient_is_cut_and_its_length_told() -> None:
    free, _, _ = trained(1, lr_peak=1.0)
    cut, _, outcomes = trained(1, lr_peak=1.0, clip_norm=0.5)
    start = torch.cat([value.detach().flatten() for value in Two().parameters()])
    far, near = (torch.cat([value.detach().flatten() for value in each.parameters()]) - start for each in (free, cut))
    torch.testing.assert_close(outcomes[0]["grad_norm"], far.norm())
    torch.testing.assert_close(near, far * 0.5 / far.norm(), atol=1e-5, rtol=1e-4)
