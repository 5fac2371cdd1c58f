"""A step waits for nothing: torch's device without numbers, `meta`, stands for a GPU. A question to it is an error."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from miner.images.ragged import RaggedImages
from miner.machine.transfer import move_together
from tests.train.loop.steps import Steps
from tests.train.methods.tiny import IMAGES

META = torch.device("meta")
# Most operations of one step on a ResNet-18, views of tensors included, and the copies of a step.
MOST = {
    **{"moco": (2600, 1), "simclr": (1100, 1), "simsiam": (1500, 1), "byol": (1750, 1), "vicreg": (1450, 1)},
    **{"barlow": (1450, 1), "dino": (1300, 1), "nnclr": (1600, 1), "graphnnclr": (1550, 2)},
    **{"reco": (5200, 1), "fnc": (2150, 1), "patchmix": (2150, 1), "mnn": (1800, 1)},
}


class Counting(TorchDispatchMode):
    """Counts what is computed on the device, and what goes there from the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.computed, self.copies = 0, 0

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        result = operation(*arguments, **(named or {}))
        given = {leaf.device.type for leaf in tree_leaves((arguments, named)) if isinstance(leaf, torch.Tensor)}
        made = {leaf.device.type for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)}
        if "meta" in made:
            self.computed += 1
            # A tensor of numbers that are named in Python is a copy too.
            self.copies += (given == {"cpu"}) or "lift_fresh" in str(operation)
        return result


@pytest.fixture(autouse=True)
def _no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


def counted(name: str, images: Any, **changes: Any) -> Counting:
    """What the second step of a method does; the first one makes what is kept."""
    steps = Steps(name, images, META, **changes)
    for number in range(2):
        with Counting() as counting:
            steps.take(number)
    return counting


@pytest.mark.parametrize("name", MOST)
def test_a_step_asks_the_device_nothing_and_copies_once(name: str) -> None:
    counting = counted(name, torch.empty(IMAGES, 3, 40, 40, dtype=torch.uint8, device=META))
    most, copies = MOST[name]
    assert most * 0.8 < counting.computed <= most and counting.copies == copies


# What a run may add, on images of several shapes.
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("dino", {"local_crops": 2, "local_size": 16, "optimizer": "adamw", "clip_norm": 3.0}),
        ("moco", {"accumulate": 2, "partners": 2, "mask_known_positives": True, "optimizer": "lars"}),
        ("reco", {"partners": 2, "mask_known_positives": True}),
        ("fnc", {"partners": 2, "mask_known_positives": True}),
        ("patchmix", {"partners": 2, "mask_known_positives": True}),
    ],
)
def test_further_parts_of_a_step_ask_nothing_either(name: str, changes: dict[str, Any]) -> None:
    shapes = torch.tensor([[40, 50], [45, 40]] * (IMAGES // 2))
    pixels = torch.empty(3 * int(shapes.prod(dim=1).sum()), dtype=torch.uint8, device=META)
    assert counted(name, RaggedImages.of(pixels, shapes), **changes).copies == 1


def test_tensors_that_move_together_arrive_as_they_were() -> None:
    values = (torch.arange(5), (torch.tensor([True, False]), "text"), torch.rand(3, 1), torch.zeros(0, 2))
    moved = move_together(values, META)
    assert [each.shape for each in (moved[0], moved[1][0], *moved[2:])] == [(5,), (2,), (3, 1), (0, 2)]
    assert moved[0].dtype == torch.int64 and moved[1][1] == "text" and moved[2].device == META
