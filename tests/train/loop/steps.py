"""Single steps of a method on a ResNet-18, on any device."""

from typing import Any

import torch
from torch import Tensor

from miner.images.ragged import HeldImages
from miner.learning.networks.backbones import build_resnet
from miner.train.data.batch_maker import BatchMaker
from miner.train.data.pair_index import PairIndex
from miner.train.loop.loop import learn_step
from miner.train.loop.optimizer import ScheduledOptimizer
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from tests.train.methods.tiny import IMAGES, make
from tests.train.plans import plan

ROWS = torch.arange(16).view(2, 8)


class Steps:
    """Steps of a method with small heads, views with blur, and pairs.

    Args:
        images: 40 of them, uint8.
    """

    def __init__(self, name: str, images: HeldImages, device: torch.device, **changes: Any) -> None:
        backbone, width = build_resnet("resnet18", "cifar", 0, 1 + METHOD_DEFAULTS[name].split_norm)
        prior = {"graph_prior": True} if name == "graphnnclr" else {}
        self.method = make(name, backbone, width, **prior).to(device)
        chosen = {"images": IMAGES, "batch_size": 8, "image_size": 32, "augmentation": "byol", **changes}
        self.plan = plan(method=name, **chosen)
        index = PairIndex.of(torch.tensor([[0, 1], [2, 9]]), IMAGES)
        self.method.take_index(index)
        self.make_batch = BatchMaker(self.plan, images, device, index, self.method.draw)
        self.optimizer = ScheduledOptimizer(self.plan, self.method)

    def take(self, number: int) -> dict[str, Tensor]:
        """One step; returns what the method tells."""
        positives = self.method.choose_positives(*ROWS, torch.Generator().manual_seed(number))
        return learn_step(self.plan, self.method, self.optimizer, self.make_batch((ROWS[0], positives), number))
