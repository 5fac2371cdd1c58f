"""Every schedule of every method is the same in all arms that are compared with each other."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from miner.errors import UsageError
from miner.learning.randomness import generator_for
from miner.train.data.arm_pairs import draw_pairs
from miner.train.data.sampler import CombinedSampler
from miner.train.loop.loop import run_loop
from miner.train.loop.optimizer import ScheduledOptimizer
from miner.train.methods import Method, byol, dino
from miner.train.methods.contrastive import fnc, moco, patchmix
from miner.train.methods.parts.neighbour_bank import NeighbourBank
from miner.train.observers.base import Observer
from miner.train.settings.arms import PAIRS_ARMS, PairsArm
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from miner.train.settings.options import TrainOptions
from miner.train.settings.plan import RunPlan, make_plan
from tests.train.methods.tiny import WIDTH, batch, make, views
from tests.train.plans import CPU

ARMS = [arm.replace("=P", "=0.5") for arm in PAIRS_ARMS if arm != "none"]
# Both kinds of items, own views alone, and pairs alone.
SIMULATED = ["semantic", "equal-steps", "pairs-only"]
IMAGES, EPOCHS = 32, 4
LABELS = torch.arange(IMAGES) % 4
MINED = torch.stack([torch.arange(24), torch.arange(24) + 4], dim=1)
IN_EPOCHS = {
    "teacher_warmup_epochs": 2,
    "teacher_warmup_temperature": 0.02,
    "frozen_epochs": 1,
    "graph_window": 2,
    "false_negative_start": 3,
}


def plan_of(method: str, arm: str, **changes: Any) -> RunPlan:
    settings = {name: value for name, value in IN_EPOCHS.items() if name in METHOD_DEFAULTS[method].settings}
    asked = {"method": method, "epochs": EPOCHS, "batch_size": 4, "warmup_epochs": 1, "final_weight_decay": 0.1}
    options = TrainOptions.parse({**asked, **settings, "pairs_arm": arm, **changes})
    pairs = draw_pairs(PairsArm.parse(arm), MINED, LABELS, 0)
    counts = {"images": IMAGES, "mined": len(MINED), "pairs": len(pairs.rows)}
    return make_plan(options, **counts, side=8, precision="fp32", processes=1)


def schedules(plan: RunPlan, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """By step: learning rates, weight decays, momentum, temperature of the teacher, parameters that learn, epoch of the graph."""
    now: dict[str, Any] = {}

    def spy(owner: Any, function: str, name: str, position: int) -> None:
        real: Callable[..., Any] = getattr(owner, function)

        def spied(*arguments: Any) -> Any:
            now[name] = float(arguments[position])
            return real(*arguments)

        monkeypatch.setattr(owner, function, spied)

    for module in (moco, fnc, patchmix, byol, dino):
        spy(module, "move_towards", "momentum", 2)
    spy(dino, "teacher_targets", "temperature", 2)
    spy(NeighbourBank, "take", "graph epoch", 3)
    defaults = METHOD_DEFAULTS[plan.options.method]
    numbers = {name: getattr(plan, name) for name in defaults.plan_numbers}
    changes = {name: value for name, value in IN_EPOCHS.items() if name in defaults.settings}
    method = make(plan.options.method, Flat(), **{**changes, **numbers})
    updates, by_step = ScheduledOptimizer(plan, method), []
    for step in range(plan.steps):
        updates.prepare(step)
        views_of_step = batch(*views(step, 4), generator_for(step), name=plan.options.method, step=step)
        method(views_of_step)["loss"].backward()
        method.after_backward(step)
        now["lr"], now["decay"] = (
            [group[key] for group in updates.optimizer.param_groups] for key in ("lr", "weight_decay")
        )
        now["counts"] = step >= getattr(method, "start_step", 0)
        now["learns"] = [name for name, value in method.named_parameters() if value.grad is not None]
        by_step.append(dict(now))
    monkeypatch.undo()
    return by_step


class Flat(nn.Sequential):
    """A linear map of the first pixels."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(192, WIDTH))


@pytest.mark.parametrize("name", METHOD_DEFAULTS)
def test_schedules_agree_step_by_step_in_all_arms(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    semantic, *others = (schedules(plan_of(name, arm), monkeypatch) for arm in SIMULATED)
    assert len(semantic) == EPOCHS * ((IMAGES + len(MINED)) // 4) == 56
    for arm, other in zip(SIMULATED[1:], others, strict=True):
        for step, (one, two) in enumerate(zip(semantic, other, strict=True)):
            assert one == two, (arm, step)
    assert [step["lr"][0] for step in semantic[:15]] == sorted(step["lr"][0] for step in semantic[:15])
    if name in ("dino", "graphnnclr"):
        assert [step["temperature"] for step in semantic[::14]] == pytest.approx([0.02, 0.03, 0.04, 0.04])
        assert [("prototypes.weight" in step["learns"]) for step in semantic].index(True) == 14
    if name in ("byol", "dino", "graphnnclr", "patchmix"):
        assert semantic[0]["momentum"] == pytest.approx(0.99) and semantic[28]["momentum"] == pytest.approx(0.995)
    if name == "fnc":
        assert [step["counts"] for step in semantic].index(True) == 3 * 14
    if name == "graphnnclr":
        assert [step["graph epoch"] for step in semantic] == [step // 14 for step in range(56)]


@pytest.mark.parametrize("name", METHOD_DEFAULTS)
def test_all_arms_have_one_plan_but_for_their_pairs(name: str) -> None:
    """So every number that a schedule is made of is that of `semantic`. Queues are smaller where pairs are the only items."""

    def of_any_arm(plan: RunPlan, queue: int) -> RunPlan:
        changes = {"pairs_arm": "semantic", "mask_known_positives": False}
        settings = {**plan.settings, "queue_size": queue} if "queue_size" in plan.settings else plan.settings
        return replace(plan, pairs=0, settings=settings, options=plan.options.model_copy(update=changes))

    arms = [arm for arm in ARMS if METHOD_DEFAULTS[name].contrastive or arm != "mask-only"]
    semantic, *others = (plan_of(name, arm) for arm in arms)
    for other in others:
        queue = 4 if other.options.arm.alone else 8
        assert of_any_arm(other, other.settings.get("queue_size", 0)) == of_any_arm(semantic, queue), (
            other.options.pairs_arm
        )
    counts = {arm: (plan.own_items, plan.pair_items) for arm, plan in zip(arms, [semantic, *others], strict=True)}
    assert counts["pairs-only"] == counts["matched-augmented"] == counts["matched-half"] == (0, 24)
    assert counts["matched-images"] == (0, 48) and counts["equal-steps"] == (32, 0) == counts.get("mask-only", (32, 0))
    assert {counts[arm] for arm in counts if arm in ("semantic", "random-wrong", "oracle", "precision=0.5")} == {
        (32, 24)
    }


class Recorder(Observer):
    """Keeps when it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def on_epoch_end(self, step: int, epoch: int, method: Method) -> dict[str, float]:
        self.asked.append((step, epoch))
        return {}


@pytest.mark.parametrize("arm", ["semantic", "equal-steps"])
def test_observers_look_after_the_same_steps_in_all_arms(arm: str, tmp_path: Path) -> None:
    plan, recorder = plan_of("barlow", arm, image_size=16, device="cpu"), Recorder()
    pairs = draw_pairs(PairsArm.parse(arm), MINED, LABELS, 0).rows
    images = torch.zeros(IMAGES, 3, 16, 16, dtype=torch.uint8)
    plan = replace(plan, mean=(0.5,) * 3, std=(0.2,) * 3)
    method = make("barlow")
    run_loop(plan, method, images, CombinedSampler(IMAGES, pairs, 4, 0), tmp_path, device=CPU, observers=[recorder])
    assert recorder.asked == [(14, 1), (28, 2), (42, 3), (56, 4)]


def test_partners_with_equal_steps_are_refused() -> None:
    with pytest.raises(UsageError, match="would be `none`, with less work in each step"):
        TrainOptions.parse({"partners": 2, "pairs_arm": "equal-steps"})
    assert TrainOptions.parse({"partners": 2, "pairs_arm": "anchor-oversample"}).partners == 2
