"""One fine-tuning of a whole network on labelled images, which continues where it was interrupted."""

import copy
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from miner.embed.encoders.base import Encoder
from miner.engine import Progress
from miner.images.augment.settings import ViewSettings
from miner.images.augment.views import Augmentation
from miner.images.ragged import Pixels, device_of_rows
from miner.learning.checkpoint import load_checkpoint, previous, save_checkpoint
from miner.learning.features import pooled_features
from miner.learning.randomness import generator_for, seeded
from miner.learning.schedule import cosine

LR_BATCH = 256
MOMENTUM = 0.9
CROPS = ViewSettings(area=(0.08, 1.0), jittered=(0.0, 0.0), grey=(0.0, 0.0))
_CHECKPOINT_S = 60.0


@dataclass(frozen=True)
class Rates:
    """Peak learning rates of the backbone and of the classifier, at a batch of 256."""

    lr: float
    head_lr: float


@dataclass(frozen=True)
class Schedule:
    """How long a fit is, and its order.

    Attributes:
        epochs: passes over the images.
        batch_size: images of a step at most; the batches of an epoch differ by one image at most.
        seed: of the order, of the crops, and of dropout.
    """

    epochs: int
    batch_size: int
    seed: int

    def steps_per_epoch(self, count: int) -> int:
        """Steps of a pass over `count` images."""
        return -(-count // self.batch_size)


class Classifier(nn.Module):
    """A backbone and a linear layer that starts at zero: (batch, 3, side, side) -> logits (batch, classes)."""

    def __init__(self, backbone: nn.Module, width: int, class_count: int) -> None:
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(width, class_count)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(images).flatten(1))
        return logits


def fine_tune(
    encoder: Encoder,
    images: Pixels,
    labels: Tensor,
    class_count: int,
    rates: Rates,
    schedule: Schedule,
    device: torch.device,
    checkpoint: Path,
) -> Classifier:
    """Train all layers by SGD with Nesterov momentum, without weight decay, along a cosine; batch norms in training mode.

    The views are random resized crops, half of them flipped. Killed and continued, it ends with the same weights on a CPU.

    Args:
        encoder: its network is copied.
        images: whole images, uint8; labels: int64 (n,), on the CPU.
        checkpoint: where an interrupted fit continues. It is removed at the end.
    """
    network = Classifier(copy.deepcopy(encoder.network), encoder.dim, class_count).to(device)
    groups = [{"params": network.backbone.parameters()}, {"params": network.head.parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=MOMENTUM, nesterov=True)
    done, per_epoch = load_checkpoint(checkpoint, network, optimizer), schedule.steps_per_epoch(len(labels))
    factors = cosine(1.0, schedule.epochs * per_epoch) * schedule.batch_size / LR_BATCH
    preprocess, saved = encoder.preprocess, time.monotonic()
    augment = Augmentation(preprocess.crop, preprocess.mean, preprocess.std, CROPS)
    network.train()
    with Progress(f"fine-tune {encoder.name}", total=len(factors), item="steps", finished=done) as progress:
        for step in range(done, len(factors)):
            epoch, position = divmod(step, per_epoch)
            order = torch.randperm(len(labels), generator=generator_for(schedule.seed, "finetune order", epoch))
            rows = torch.tensor_split(order, per_epoch)[position]
            for group, peak in zip(optimizer.param_groups, (rates.lr, rates.head_lr), strict=True):
                group["lr"] = peak * float(factors[step])
            pixels = images[rows.to(device_of_rows(images))].to(device)
            views = augment(pixels, generator_for(schedule.seed, "finetune views", step))
            with seeded(schedule.seed, "finetune step", step):  # dropout, and layers that are skipped
                loss = F.cross_entropy(network(views), labels[rows].to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            progress.advance(1)
            if time.monotonic() - saved > _CHECKPOINT_S:
                save_checkpoint(checkpoint, step + 1, network, optimizer)
                saved = time.monotonic()
    for file in (checkpoint, previous(checkpoint)):  # the next fit begins at its own start
        file.unlink(missing_ok=True)
    return network.eval()


def named_classes(
    network: Classifier, encoder: Encoder, pixels: Tensor, batch_size: int, device: torch.device
) -> Tensor:
    """The class that the network names for each image: uint8 (n, 3, side, side) -> int64 (n,), on the CPU."""
    mean, std = encoder.preprocess.mean, encoder.preprocess.std
    return pooled_features(network, pixels, mean, std, batch_size=batch_size, device=device).argmax(dim=1).cpu()
