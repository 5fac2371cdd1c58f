from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from miner.errors import MinerError
from miner.images.augment.views import Augmentation, ViewParameters
from miner.learning.checkpoint import load_checkpoint
from miner.train.data.batch import Batch
from miner.train.data.sampler import CombinedSampler
from miner.train.loop.loop import run_loop
from miner.train.loop.loss_guard import LossGuard
from miner.train.loop.metrics import read_metrics
from miner.train.methods import Method
from miner.train.observers.base import Observer
from tests.train.plans import pictures, plan


class Recorder(Method):
    """A method that only writes down what it is given; its loss is what the test asks for."""

    def __init__(self, losses: dict[int, float] | None = None) -> None:
        super().__init__(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)))
        self.losses = losses or {}
        self.first: list[Tensor] = []
        self.second: list[Tensor] = []

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        self.first.append(batch.first)
        self.second.append(batch.second)
        factor = self.losses.get(len(self.first), 1.0)
        return {"loss": self.backbone(torch.ones(1, 3, 8, 8)).square().sum() * factor}


class Counter(Observer):
    """Counts the epochs it has seen over all lives of a run, and says nothing of odd ones."""

    def __init__(self) -> None:
        self.seen = 0

    def on_epoch_end(self, step: int, epoch: int, method: Method) -> dict[str, float]:
        self.seen += 1
        return {"seen": self.seen} if epoch % 2 == 0 else {}

    def state_dict(self) -> dict[str, int]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.seen = state["seen"]


def run(
    folder: Path,
    method: Recorder,
    observers: Sequence[Observer] = (),
    checkpoint_interval_s: float = 120.0,
    **changes: object,
) -> None:
    chosen = plan(**changes)
    sampler = CombinedSampler(20, torch.tensor([[0, 10], [1, 11], [2, 12], [3, 13]]), chosen.batch_size, 0)
    run_loop(
        chosen,
        method,
        pictures(),
        sampler,
        folder,
        device=torch.device("cpu"),
        checkpoint_interval_s=checkpoint_interval_s,
        observers=observers,
    )


def test_each_step_sees_two_views_of_its_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(Augmentation):
        """Views without augmentation, to recognise the images."""

        def apply(self, images: Tensor, parameters: ViewParameters) -> Tensor:
            return images.float()

    monkeypatch.setattr("miner.train.data.batch_maker.Augmentation", Plain)
    method = Recorder()
    run(tmp_path, method)
    sampler = CombinedSampler(20, torch.tensor([[0, 10], [1, 11], [2, 12], [3, 13]]), 5, 0)
    expected = torch.cat([sampler.epoch(epoch) for epoch in range(5)])
    seen = torch.stack([torch.stack(method.first), torch.stack(method.second)], 1)[..., 0, 0, 0]
    assert torch.equal(seen, pictures()[expected][..., 0, 0, 0].float())


def test_metrics_come_every_ten_steps_and_at_ends_of_epochs(tmp_path: Path) -> None:
    run(tmp_path, Recorder(), [Counter()], epochs=6)
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [(line["step"], line["epoch"], line.get("seen")) for line in lines] == [
        *((4, 1, None), (8, 2, 2), (10, 3, None), (12, 3, None), (16, 4, 4), (20, 5, None), (24, 6, 6))
    ]
    assert lines[-1]["lr"] == pytest.approx(
        0.1 * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * 23 / 24)).item()), rel=1e-5
    )


def test_an_observer_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    for folder in ("whole", "broken"):
        broken = {} if folder == "whole" else {step: float("nan") for step in (13, 14, 15)}
        with pytest.raises(MinerError) if broken else nullcontext():
            run(tmp_path / folder, Recorder(broken), [Counter()], checkpoint_steps=10)
    assert [line["step"] for line in read_metrics(tmp_path / "broken/metrics.jsonl")] == [4, 8, 10, 12]
    run(tmp_path / "broken", Recorder(), [Counter()])
    whole, broken = (read_metrics(tmp_path / folder / "metrics.jsonl") for folder in ("whole", "broken"))
    assert (
        [line.get("seen") for line in broken] == [line.get("seen") for line in whole] == [None, 2, None, None, 4, None]
    )


def test_a_slow_machine_saves_between_the_asked_steps(tmp_path: Path) -> None:
    with pytest.raises(MinerError):
        run(tmp_path, Recorder({step: float("nan") for step in (6, 7, 8)}), checkpoint_interval_s=-1.0)
    method = Recorder()
    assert load_checkpoint(tmp_path / "checkpoints/last.pt", method, torch.optim.SGD(method.trainable())) == 5


def test_three_bad_losses_in_a_row_stop_the_run(tmp_path: Path) -> None:
    method = Recorder({6: float("nan"), 7: float("inf"), 8: float("nan")})
    with pytest.raises(MinerError, match=r"3 steps in a row, up to step 8 of 20 \(lr .*temperature.*lower --lr"):
        run(tmp_path, method)
    assert len(method.first) < 20


def test_a_last_step_that_is_bad_gives_no_result(tmp_path: Path) -> None:
    with pytest.raises(MinerError, match="not finite for step 20 of 20"):
        run(tmp_path, Recorder({20: float("nan")}))
    assert not (tmp_path / "checkpoints/last.pt").exists()
    assert read_metrics(tmp_path / "metrics.jsonl")[-1]["loss"] is None


def test_a_single_bad_loss_is_forgiven() -> None:
    guard = LossGuard(plan())
    for step, loss in enumerate([1.0, float("nan"), float("nan"), 1.0, float("nan"), float("nan"), 2.0], 1):
        guard.check_previous(step, 0.1, torch.tensor(loss))
    assert guard.check_now() and guard.last_loss == 2.0


@pytest.mark.parametrize("deterministic", [True, False])
def test_convolutions_repeat_their_bits_unless_told(deterministic: bool, tmp_path: Path) -> None:
    cudnn, seen = torch.backends.cudnn, set()
    method = Recorder()
    method.register_forward_pre_hook(lambda *_: seen.add((cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32)))
    run(tmp_path, method, deterministic=deterministic)
    assert seen == {(deterministic, not deterministic, False)}
    assert ("deterministic" in plan(deterministic=deterministic).plain()) == (not deterministic)


def test_speed_and_memory_are_returned_and_not_in_the_metrics(tmp_path: Path) -> None:
    chosen = plan()
    sampler = CombinedSampler(20, torch.zeros(4, 2, dtype=torch.long), 5, 0)
    device = torch.device("cpu")
    measured = run_loop(chosen, Recorder(), pictures(), sampler, tmp_path, device=device)
    assert measured["items_per_s"] > 0 and 0 < measured["data_wait"] < 1 and measured["peak_memory_mb"] > 10
    assert not {*measured} & {name for line in read_metrics(tmp_path / "metrics.jsonl") for name in line}
