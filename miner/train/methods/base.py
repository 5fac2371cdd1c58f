"""What the loop knows of a method."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from miner.train.data.batch import Batch
from miner.train.data.pair_index import PairIndex


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate.

    Attributes:
        constant_lr: whether the learning rate stays at its peak instead of following the schedule.
    """

    parameters: list[nn.Parameter]
    constant_lr: bool = False


class Method(nn.Module, ABC):
    """A self-supervised method around a backbone. Everything that must survive a restart is in its state dict.

    Constructors of methods take the backbone, the `width` of its features, settings of the method by name, and the `seed` of the
    heads.

    Args:
        backbone: the encoder that is kept in the end, (batch, 3, size, size) -> (batch, width).
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        # Earlier versions counted the steps in the state of a method, too.
        self.register_load_state_dict_pre_hook(lambda _, state, *rest: state.pop("taken", None))  # type: ignore[no-untyped-call]

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step.

        Args:
            batch: views of the items, and which images they show.
        Returns:
            "loss" with its graph, and metrics without, all float32 scalars.
        """

    def projector(self) -> nn.Sequential | None:
        """The layers from features to the space of the loss, without the last ones if these have no use later; None without any."""
        head = getattr(self, "head", None)
        return head if isinstance(head, nn.Sequential) else None

    def take_index(self, index: PairIndex) -> None:
        """Keep which images are partners, on the CPU, if the method needs it. This is no state: a resumed run gets it again."""

    def choose_positives(self, anchors: Tensor, positives: Tensor, generator: torch.Generator) -> Tensor:
        """Which images the second views of a step show: those that the sampler chose, unless the method replaces them.

        Args:
            anchors, positives: rows of images, int64 (batch,) on the CPU; equal in an own-view item.
            generator: a generator on the CPU, for this choice alone.
        Returns:
            int64 (batch,), on any device.
        """
        return positives

    def draw(self, items: int, seconds: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """What is random in a part of a step, drawn before it on the CPU. `Batch.drawn` has it on the device.

        Args:
            items, seconds: how many first and second views the part has, on all processes together.
            generator: a generator on the CPU.
        """
        return ()

    def after_backward(self, step: int) -> None:
        """Change the gradients of a step, from 0, before the weights change. They are those of all parts and processes."""

    def passes(self, seconds: float, crops: float) -> tuple[float, float]:
        """How many views of an item pass through the backbone with a gradient, and through momentum encoders without one.

        Args:
            seconds: second views of an item: its own, and its partners on average.
            crops: local crops of an item, in views of full size by their pixels.
        """
        return 1 + seconds, 0

    def notes(self) -> list[str]:
        """Lines for the screen before the first step."""
        return []

    def observe(self, labels: Tensor) -> dict[str, float]:
        """The method's own metrics at the end of an epoch; `labels` of the images, int64 (images,), are -1 where unknown."""
        return {}

    def save(self, folder: Path, keys: Sequence[str]) -> list[Path]:
        """Write what the method keeps beside backbone and projector into the folder of a run, and return the files.

        Args:
            keys: the keys of the images, by row.
        """
        return []

    def trainable(self) -> list[nn.Parameter]:
        """Parameters for the optimizer."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def parameter_groups(self) -> list[ParameterGroup]:
        """The trainable parameters by learning rate: one group, unless the method says otherwise."""
        return [ParameterGroup(self.trainable())]
