"""Plans and images for tests of the loop and its parts."""

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from miner.train.settings.method_defaults import METHOD_DEFAULTS
from miner.train.settings.options import TrainOptions
from miner.train.settings.plan import RunPlan

_PLAN = {field.name for field in fields(RunPlan)}
CPU = torch.device("cpu")


def plan(**changes: Any) -> RunPlan:
    """A small plan, with changes of its options, of the settings of the method, or of its own numbers."""
    own = {
        **{
            "stem": "cifar",
            "patch_size": None,
            "image_size": 8,
            "short_side": 8,
            "mean": (0.5,) * 3,
            "std": (0.2,) * 3,
        },
        **{"images": 20, "pairs": 4, "batch_size": 5, "steps_per_epoch": 4, "lr_peak": 0.1},
        **{"warmup_steps": 0, "norm_splits": 1, "precision": "fp32"},
        **{"augmentation": "plain", "least_area": 0.08, "local_size": 0},
        **{name: value for name, value in changes.items() if name in _PLAN},
    }
    chosen = {"weight_decay": 0.0, "epochs": 5, **{name: value for name, value in changes.items() if name not in _PLAN}}
    options = TrainOptions.parse(chosen)
    settings = {name: getattr(options, name) for name in METHOD_DEFAULTS[options.method].names}
    settings = {name: value for name, value in settings.items() if value is not None}
    return RunPlan(
        **{"steps": options.epochs * own["steps_per_epoch"], "settings": settings, "options": options, **own}
    )


def pictures() -> Tensor:
    """Twenty images of one colour each, which only the jitter of colours can change."""
    return (torch.arange(20) * 12 + 5).to(torch.uint8).view(20, 1, 1, 1).expand(20, 3, 8, 8).contiguous()
