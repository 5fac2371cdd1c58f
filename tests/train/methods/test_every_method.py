"""What holds for all methods."""

from pathlib import Path

import pytest
import torch
from timm.layers.drop import DropPath
from torch import nn

from miner.learning.networks.batch_norm import SplitBatchNorm2d
from miner.learning.randomness import generator_for
from miner.options import written_name
from miner.train.loop.metrics import read_metrics
from miner.train.methods import Method, build_method
from miner.train.methods.build import METHODS
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from miner.train.settings.options import TrainOptions
from tests.train.methods.tiny import SMALL, STEPS, TinyBackbone, batch, make, views
from tests.train.plans import plan
from tests.train.runs import KilledError, run_killed

NAMES = list(METHOD_DEFAULTS)
TEACHERS = {
    **dict.fromkeys(("moco", "reco", "patchmix"), "key_encoder"),
    **{"byol": "target", "mnn": "target", "dino": "teacher", "graphnnclr": "teacher"},
}


def run(folder: Path, name: str, killed_at: int | None = None, **changes: object) -> Method:
    """A method after 12 steps, or after fewer if it is killed."""
    method = make(name)
    run_killed(folder, name, method, killed_at, lr_peak=0.05, **changes)
    return method


UPDATES = {
    "lars": {"optimizer": "lars", "decay_on": "weights", "warmup_steps": 4, "accumulate": 2, "precision": "bf16"},
    "adamw": {
        "optimizer": "adamw",
        "weight_decay": 0.04,
        "final_weight_decay": 0.4,
        "clip_norm": 0.1,
        "precision": "bf16",
    },
    "robust": {"partners": 1, "pair_loss": "rince", "mask_known_positives": True, "pair_weights": "score"},
    "alone": {"pairs_arm": "pairs-only", "pair_weights": "votes"},
    "masked": {"pairs_arm": "mask-only"},
}
OTHERS = [
    ("moco", "lars"),
    ("dino", "adamw"),
    ("moco", "robust"),
    ("simclr", "robust"),
    ("byol", "alone"),
    ("moco", "masked"),
]


@pytest.mark.parametrize(("name", "updates"), [*((name, "sgd") for name in NAMES), *OTHERS])
def test_killed_and_resumed_it_ends_with_the_same_bits(name: str, updates: str, tmp_path: Path) -> None:
    changes = UPDATES.get(updates, {})
    whole = run(tmp_path / "whole", name, **changes)
    with pytest.raises(KilledError):  # past the checkpoint of step 5 and the metrics of step 8
        run(tmp_path / "killed", name, killed_at=9 * changes.get("accumulate", 1), **changes)
    resumed = run(tmp_path / "killed", name, **changes)
    metrics = [(tmp_path / folder / "metrics.jsonl").read_bytes() for folder in ("whole", "killed")]
    assert metrics[0] == metrics[1]
    assert [line["step"] for line in read_metrics(tmp_path / "whole/metrics.jsonl")] == [4, 8, 10, 12]
    for (key, one), two in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, two), key


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_finite_scalars_and_the_loss_has_a_graph(name: str) -> None:
    for autocast in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            outcome = make(name)(batch(*views(0), generator_for(0), name=name))
        assert outcome.keys() >= {"loss", "spread"}
        for key, value in outcome.items():
            assert value.dtype == torch.float32 and value.shape == () and value.isfinite(), key
            assert value.requires_grad == (key == "loss"), key


@pytest.mark.parametrize("name", NAMES)
def test_a_step_that_is_not_measured_gives_the_loss_alone(name: str) -> None:
    whole, alone = (
        make(name)(batch(*views(0), generator_for(0), name=name, measured=measured)) for measured in (True, False)
    )
    assert alone.keys() == {"loss"} and torch.equal(alone["loss"], whole["loss"])


@pytest.mark.parametrize("name", NAMES)
def test_a_run_in_bfloat16_learns_the_same_state(name: str, tmp_path: Path) -> None:
    state = run(tmp_path, name, precision="bf16").state_dict()
    assert all(
        value.dtype in (torch.float32, torch.int32, torch.int64) and value.isfinite().all() for value in state.values()
    )


@pytest.mark.parametrize("name", [name for name in NAMES if not METHOD_DEFAULTS[name].split_norm])
def test_all_that_is_trainable_learns_and_nothing_else(name: str) -> None:
    method = make(name)
    method(batch(*views(0), generator_for(0), name=name))["loss"].backward()
    learning = {key for key, parameter in method.named_parameters() if parameter.grad is not None}
    teacher = TEACHERS.get(name, "no teacher")
    assert learning == {key for key, _ in method.named_parameters() if not key.startswith(teacher)}
    grouped = [id(parameter) for group in method.parameter_groups() for parameter in group.parameters]
    assert sorted(grouped) == sorted(id(parameter) for parameter in method.trainable())


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_has_its_own_normalisation_statistics(name: str) -> None:
    method = make(name).train()
    teacher = getattr(method, TEACHERS[name])[0]
    with torch.no_grad():
        teacher.layer.weight.mul_(3.0)
    for step in range(2):
        method(batch(*views(step), generator_for(step), name=name))
    assert teacher.norm.training and teacher.norm.num_batches_tracked > 0
    assert not torch.allclose(teacher.norm.running_var, method.backbone.norm.running_var)


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_skips_no_block_where_the_student_does(name: str) -> None:
    method = make(name, nn.Sequential(TinyBackbone(), DropPath(0.5)))
    assert method.backbone[1].drop_prob == 0.5 and getattr(method, TEACHERS[name])[0][1].drop_prob == 0.0


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teacher_moves_in_float32_with_a_momentum_near_1(name: str) -> None:
    method = make(name, momentum=0.9999)
    weight = getattr(method, TEACHERS[name])[0].layer.weight
    before = weight.clone()
    with torch.no_grad():
        method.backbone.layer.weight.add_(1.0)
    with torch.autocast("cpu", torch.bfloat16):
        method(batch(*views(0), generator_for(0), name=name))
    torch.testing.assert_close(weight - before, torch.full_like(before, 1e-4), atol=1e-7, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_gives_the_method_with_its_settings(name: str) -> None:
    settings = {key: SMALL.get(key, value) for key, value in METHOD_DEFAULTS[name].settings.items()}
    splits = 4 if METHOD_DEFAULTS[name].split_norm else 1
    chosen = plan(**settings, method=name, norm_splits=splits)
    method = build_method(chosen)
    assert type(method) is METHODS[name]
    for key in ("momentum", "temperature", "teacher_temperature", "symmetric"):
        if key in settings:
            assert getattr(method, key) == settings[key]
    # Several parts on one device keep the encoders of MoCo from telling the positive by shared statistics.
    split = [module for module in method.modules() if isinstance(module, SplitBatchNorm2d)]
    assert bool(split) == METHOD_DEFAULTS[name].split_norm and all(module.splits == 4 for module in split)
    written = {*map(written_name, settings)}
    assert chosen.plain().keys() >= written and "queue_size" not in chosen.plain().keys() - written


@pytest.mark.parametrize("name", NAMES)
def test_the_heads_depend_on_the_seed_alone(name: str) -> None:
    one = make(name, TinyBackbone()).state_dict()
    torch.manual_seed(1)
    two = make(name, TinyBackbone()).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one if not key.startswith(("backbone", *TEACHERS.values())))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *((name, {}) for name in NAMES),
        ("moco", {"symmetric": True}),
        ("reco", {"global_": False}),
        ("reco", {"contrast": False, "local": False}),
        ("fnc", {"queue_size": 64}),
        ("patchmix", {"momentum": 0.0}),
        ("patchmix", {"mixed_to_mixed": False}),
    ],
)
def test_the_passes_of_an_item_are_those_that_are_made(name: str, changes: dict[str, object]) -> None:
    method, rows = make(name, **changes), {True: 0, False: 0}

    def count(_: nn.Module, arguments: tuple[torch.Tensor]) -> None:
        rows[torch.is_grad_enabled()] += len(arguments[0])

    for module in method.modules():
        if isinstance(module, TinyBackbone):
            module.register_forward_pre_hook(count)
    first, second = views(0)
    method(batch(first, second, generator_for(0), name=name))
    assert method.passes(1, 0) == (rows[True] / len(first), rows[False] / len(first))


@pytest.mark.parametrize(
    ("name", "base"), [("moco", 0.9), ("reco", 0.9), ("byol", 0.9), ("mnn", 0.9), ("dino", 0.9), ("fnc", 0.9)]
)
def test_momentum_is_constant_or_grows_to_1_or_is_none(name: str, base: float) -> None:
    moved = {}
    memory = {"queue_size": 64} if name == "fnc" else {}
    teacher = TEACHERS.get(name, "key_encoder")
    for kind, momentum, grows in (("constant", base, False), ("grows", base, True), ("none", 0.0, False)):
        method = make(name, **memory, momentum=momentum, momentum_grows=grows)
        weight = getattr(method, teacher)[0].layer.weight
        with torch.no_grad():
            method.backbone.layer.weight.copy_(weight + 1.0)
        before = weight.clone()
        method(batch(*views(0), generator_for(0), name=name, step=STEPS // 2))
        moved[kind] = (weight - before).mean().item()
    assert moved == pytest.approx({"constant": 0.1, "grows": 0.05, "none": 1.0}, abs=1e-5)


def test_the_methods_of_the_options_are_those_that_exist() -> None:
    assert {*TrainOptions.model_fields["method"].annotation.__args__} == METHOD_DEFAULTS.keys() == METHODS.keys()
