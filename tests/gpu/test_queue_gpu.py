"""Steps of training on a GPU ask it nothing: torch raises where the CPU would wait."""

import pytest
import torch

from miner.learning.checkpoint import load_checkpoint, save_checkpoint
from miner.train.loop.loss_guard import LossGuard
from miner.train.loop.optimizer import ScheduledOptimizer
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from tests.train.loop.steps import Steps

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

GPU = torch.device("cuda", 0)


def steps_of(name: str, **changes: object) -> Steps:
    images = torch.randint(0, 256, (40, 3, 40, 40), dtype=torch.uint8, device=GPU)
    return Steps(name, images, GPU, **changes)


@pytest.mark.parametrize("name", METHOD_DEFAULTS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_ten_steps_wait_for_nothing(name: str, precision: str) -> None:
    steps = steps_of(name, precision=precision)
    guard = LossGuard(steps.plan)
    for number in range(12):
        # The first steps make what is kept, such as handles and constants.
        torch.cuda.set_sync_debug_mode("error" if number >= 2 else "default")
        try:
            guard.check_previous(number + 1, 0.1, steps.take(number)["loss"])
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert guard.check_now()


@pytest.mark.parametrize("changes", [{}, {"optimizer": "adamw"}])
def test_fused_optimizers_continue_from_a_checkpoint(changes: dict, tmp_path) -> None:
    whole, resumed = steps_of("simclr", **changes), steps_of("simclr", **changes)
    for number in range(2):
        whole.take(number)
    save_checkpoint(tmp_path / "last.pt", 2, whole.method, whole.optimizer.optimizer)
    resumed.optimizer = ScheduledOptimizer(resumed.plan, resumed.method)
    load_checkpoint(tmp_path / "last.pt", resumed.method, resumed.optimizer.optimizer)
    for steps in (whole, resumed):
        assert all(group["fused"] for group in steps.optimizer.optimizer.param_groups)
        steps.take(2)
    for one, two in zip(whole.method.state_dict().values(), resumed.method.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two)
