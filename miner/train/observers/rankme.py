"""RankMe: how many dimensions the features really use. It needs no labels."""

import torch
from torch import Tensor, nn

from miner.images.canvases import Canvases
from miner.images.normalise import normalise
from miner.train.methods import Method
from miner.train.observers.base import Observer
from miner.train.settings.plan import RunPlan

MAX_IMAGES = 1024
_SHARE_OF_IMAGES = 4
_BATCH = 128
_EPSILON = 1e-7


def rankme(features: Tensor) -> Tensor:
    """Effective rank: exp of the entropy of the singular values over their sum (Garrido et al. 2023, arXiv 2210.02885, eq. 1).

    Args:
        features: float32 (n, d).
    Returns:
        float32 scalar, from about 1 (all features on one line) to min(n, d) (all directions alike); nan if a feature is not finite.
    """
    if not features.isfinite().all():
        return features.new_full((), torch.nan)
    singular_values: Tensor = torch.linalg.svdvals(features)
    shares = singular_values / singular_values.sum().clamp_min(_EPSILON) + _EPSILON
    return torch.exp(torch.special.entr(shares).sum())


class RankMeObserver(Observer):
    """RankMe of the backbone at the end of each epoch, in the precision of the run.

    Args:
        plan: of the run.
        images: uint8 (images, 3, canvas, canvas), anywhere.
        device: where to compute.
    """

    def __init__(self, plan: RunPlan, images: Canvases, device: torch.device) -> None:
        self.plan, self.images, self.device = plan, images, device

    def on_epoch_end(self, step: int, epoch: int, method: Method) -> dict[str, float]:
        plan = self.plan
        with torch.autocast(self.device.type, torch.bfloat16, enabled=plan.precision == "bf16"):
            rank = backbone_rankme(method.backbone, self.images, plan.image_size, plan.mean, plan.std, self.device)
        return {"rankme": rank.item()}


@torch.no_grad()
def backbone_rankme(
    backbone: nn.Module,
    images: Canvases,
    image_size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    device: torch.device,
) -> Tensor:
    """RankMe of a backbone's features, in eval mode and without augmentation; the mode is put back.

    The images are up to 1,024 at equal distances, a quarter of all at most: that costs a few percent of an epoch. Their number
    bounds the rank, so only runs on equally many images compare.

    Args:
        backbone: (batch, 3, image_size, image_size) -> (batch, width), on `device`.
        images: uint8 (images, 3, canvas, canvas), anywhere; the centre of the canvas is seen.
        image_size: in pixels.
        mean, std: of the channels, on the scale [0, 1].
        device: where to compute.
    Returns:
        float32 scalar.
    """
    count = max(1, min(MAX_IMAGES, len(images) // _SHARE_OF_IMAGES))
    rows = torch.linspace(0, len(images) - 1, count).long()
    was_training = backbone.training
    backbone.eval()
    features = []
    for part in torch.split(rows, _BATCH):
        canvases = images[part]
        edge = (canvases.shape[-1] - image_size) // 2
        pixels = canvases[:, :, edge : edge + image_size, edge : edge + image_size].to(device)
        features.append(backbone(normalise(pixels.float().div_(255.0), mean, std)).float())
    backbone.train(was_training)
    return rankme(torch.cat(features))
