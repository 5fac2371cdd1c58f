"""Two processes that share a batch do what one process does with all of it."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from miner.learning.networks.batch_norm import SplitBatchNorm2d, synchronised
from miner.learning.parallel import processes
from miner.learning.parallel.collectives import average_step, rows_of_this_process, world_size
from miner.learning.randomness import generator_for
from miner.options import flag_name
from miner.train.data.batch import Batch
from miner.train.data.pair_index import PairIndex
from miner.train.loop.metrics import read_metrics
from miner.train.run import train
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from miner.train.settings.options import TrainOptions
from tests.learning.parallel.spawned import on_processes, start_copies, torchrun
from tests.train.methods.tiny import BATCH, WIDTH, TinyBackbone, further, make, shuffles, views
from tests.train.mini_workspace import write_shards
from tests.train.runs import SHARED_RUN, KilledError, run_killed

STEPS, LR = 5, 0.1  # so many steps of 8 keys go around a queue of 32
NAMES = list(METHOD_DEFAULTS)
CHANGES = {
    **{"symmetric": {"symmetric": True}, "queue": {"queue_size": 64, "eliminate": True}},
    **{"three": {"mixed_images": 3, "momentum": 0.0}, "one": {"mixed_images": 1}},
}
OTHERS = ["moco symmetric", "fnc queue", "patchmix three", "patchmix one", "moco masked", "simclr masked"]
CASES = [*NAMES, *OTHERS]
KNOWN = PairIndex.of(torch.tensor([[0, 5], [6, 2], [3, 1]]), BATCH)
ARMS = {"alone": {"pairs_arm": "matched-half", "pair_weights": "score"}, "masked": {"pairs_arm": "mask-only"}}
LOOPED = [
    "moco",
    "simclr",
    "dino",
    "reco",
    "fnc",
    "patchmix",
    *(f"{name} {arm}" for name in ("moco", "simclr") for arm in ARMS),
]
Outcome = dict[str, list[Tensor]]


def trained(case: str, processes: int) -> Outcome:
    """A few steps of plain gradient descent; this process's part of each batch if there are several."""
    torch.manual_seed(0)
    name, _, variant = case.partition(" ")
    backbone: nn.Module = TinyBackbone()
    split_norm = METHOD_DEFAULTS[name].split_norm
    if split_norm and processes == 1:
        backbone.norm = SplitBatchNorm2d(WIDTH, splits=2)
    method = make(name, backbone, **CHANGES.get(variant, {})).train()
    if not split_norm and processes > 1:
        method = synchronised(method)
    # The momentum of these grows, in float32.
    precision = torch.float32 if name in ("byol", "dino", "graphnnclr") else torch.float64
    method.to(precision)
    for step in range(STEPS):
        first, second = (rows_of_this_process(view).to(precision) for view in views(step))
        rows = rows_of_this_process(torch.arange(BATCH))
        method.zero_grad()
        drawn = (method.draw(BATCH, BATCH, generator_for(step)),)
        known = KNOWN if variant == "masked" else None
        outcome = method(Batch(first, second, rows, rows, drawn, further(name, first), known_positives=known))
        outcome["loss"].backward()
        gradients = [parameter.grad for parameter in method.trainable()]
        numbers = [value.detach() for value in outcome.values()]
        average_step(method, outcome)
        with torch.no_grad():
            for parameter in method.trainable():
                parameter.sub_(LR * parameter.grad)
    return {"numbers": numbers, "gradients": gradients, "state": list(method.state_dict().values())}


def first_keys() -> list[Tensor]:
    """The views that the key encoder of MoCo sees, and which of them are this process's own."""
    method, seen = make("moco"), []
    method.key_encoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    first, second = (rows_of_this_process(view) for view in views(0))
    rows = rows_of_this_process(torch.arange(BATCH))
    method(Batch(first, second, rows, rows, shuffles(first, second, generator_for(0))))
    return [seen[0], second]


def in_bfloat16() -> bool:
    """Whether every method gives finite numbers and gradients under autocast."""
    for name in NAMES:
        method = make(name) if METHOD_DEFAULTS[name].split_norm else synchronised(make(name))
        first, second = (rows_of_this_process(view) for view in views(0))
        rows = rows_of_this_process(torch.arange(BATCH))
        with torch.autocast("cpu", torch.bfloat16):
            drawn = (method.draw(BATCH, BATCH, generator_for(0)),)
            loss = method(Batch(first, second, rows, rows, drawn, further(name, first)))["loss"]
        loss.backward()
        assert all(parameter.grad.isfinite().all() for parameter in method.trainable() if parameter.grad is not None)
    return True


def run(case: str, folder: Path, killed_at: int | None = None) -> list[Tensor]:
    """The state after twelve steps of the loop, or fewer if killed."""
    torch.manual_seed(0)
    name, _, arm = case.partition(" ")
    backbone = TinyBackbone()
    split_norm = METHOD_DEFAULTS[name].split_norm
    if split_norm and world_size() == 1:
        backbone.norm = SplitBatchNorm2d(WIDTH, splits=2)
    method = make(name, backbone, **({"frozen_epochs": 1} if name == "dino" else {}))
    if not split_norm and world_size() > 1:
        method = synchronised(method)
    if name != "dino":  # its momentum grows in float32
        method.double()  # float32 rounds sums over processes otherwise, and steps of simclr amplify it
    run_killed(folder, name, method, killed_at, norm_splits=1 + split_norm, **ARMS.get(arm, {}))
    return list(method.state_dict().values())


def runs(folder: Path) -> dict[str, tuple[list[Tensor], list[Tensor]]]:
    """For each method the state after an unbroken run, and after one that was killed past its checkpoint and started again."""
    states = {}
    for name in LOOPED:
        for kind in ("whole", "killed"):
            (folder / name / kind).mkdir(parents=True, exist_ok=True)
        unbroken = run(name, folder / name / "whole")
        with pytest.raises(KilledError):
            run(name, folder / name / "killed", killed_at=9)
        states[name] = (unbroken, run(name, folder / name / "killed"))
    return states


def everything(folder: Path) -> dict[str, Any]:
    return {
        "runs": runs(folder),
        "trained": {case: trained(case, 2) for case in CASES},
        "keys": first_keys(),
        "bfloat16": in_bfloat16(),
    }


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("processes")
    outcomes = on_processes(2, partial(everything, folder / "runs"), folder)
    return [{**outcome, "folder": folder / "runs"} for outcome in outcomes]


@pytest.mark.parametrize("case", CASES)
def test_loss_gradients_and_state_are_those_of_one_process(case: str, both: list[dict[str, Any]]) -> None:
    whole = trained(case, 1)
    for name, values in whole.items():
        for one, two, other in zip(values, *(outcome["trained"][case][name] for outcome in both), strict=True):
            torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-6 if one.dtype == torch.float64 else 1e-5)
            assert torch.equal(two, other), f"{name} differs between the processes"


@pytest.mark.parametrize("name", LOOPED)
def test_a_run_on_two_processes_is_the_run_on_one(name: str, both: list[dict[str, Any]], tmp_path: Path) -> None:
    whole = run(name, tmp_path)
    for one, two, other in zip(whole, *(outcome["runs"][name][0] for outcome in both), strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-3)
        assert torch.equal(two, other)
    lines = [read_metrics(folder / "metrics.jsonl") for folder in (tmp_path, both[0]["folder"] / name / "whole")]
    assert [line["step"] for line in lines[0]] == [4, 8, 10, 12]
    for one, two in zip(*lines, strict=True):
        assert one == pytest.approx(two, abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("name", LOOPED)
def test_killed_on_two_processes_it_ends_with_the_same_bits(name: str, both: list[dict[str, Any]]) -> None:
    metrics = [(both[0]["folder"] / name / kind / "metrics.jsonl").read_bytes() for kind in ("whole", "killed")]
    assert metrics[0] == metrics[1] and len(metrics[0].splitlines()) == 4
    for outcome in both:
        unbroken, resumed = outcome["runs"][name]
        assert all(torch.equal(one, two) for one, two in zip(unbroken, resumed, strict=True))


def test_the_key_encoder_sees_views_of_other_processes(both: list[dict[str, Any]]) -> None:
    """A process that normalised its own positives could tell them by what they share."""
    strangers = 0
    for seen, own in (outcome["keys"] for outcome in both):
        strangers += sum(not (own == view).flatten(1).all(1).any() for view in seen)
    assert strangers >= 2
    seen = torch.cat([outcome["keys"][0] for outcome in both])
    assert torch.equal(seen[:, 0, 0, 0].sort().values, views(0)[1][:, 0, 0, 0].sort().values)


def test_every_method_runs_in_bfloat16(both: list[dict[str, Any]]) -> None:
    assert all(outcome["bfloat16"] for outcome in both)


def test_torchrun_and_processes_train_what_one_process_does(tmp_path: Path, monkeypatch) -> None:
    one, two, launched = (write_shards(tmp_path / name, images=64, pairs=16) for name in ("one", "two", "launched"))
    train(TrainOptions(**SHARED_RUN), one)
    monkeypatch.setattr(processes, "spawn", start_copies)
    train(TrainOptions(**SHARED_RUN, processes=2), two)
    flags = [word for name, value in SHARED_RUN.items() for word in (flag_name(name), str(value))]
    said = torchrun(tmp_path, "train", *flags, "-w", str(launched.root))
    assert said.stdout.count("over the last epoch") == 1 and said.stderr.count("steps per epoch") == 1

    runs = [workspace.run("simclr") for workspace in (one, two, launched)]
    for name in ("metrics.jsonl", "backbone.safetensors", "config.yaml", "manifest.json"):
        assert (runs[1] / name).read_bytes() == (runs[2] / name).read_bytes(), name
    assert (runs[0] / "config.yaml").read_bytes() == (runs[1] / "config.yaml").read_bytes()
    (line,), (other,) = (read_metrics(run / "metrics.jsonl") for run in runs[:2])
    assert line == pytest.approx(other, rel=1e-4)
    assert all(len(list(run.glob("events*"))) == 1 for run in runs)
