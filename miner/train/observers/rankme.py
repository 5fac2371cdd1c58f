"""RankMe: the effective number of dimensions of the features. It needs no labels."""

import torch
from torch import Tensor

from miner.images.augment.crop import crop_and_resize
from miner.images.ragged import HeldImages, shapes_of
from miner.learning.features import pooled_features
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
        float32 scalar, from about 1 (all features on one line) to min(n, d) (all directions equal); nan if a feature is not finite.
    """
    if not features.isfinite().all():
        return features.new_full((), torch.nan)
    singular_values: Tensor = torch.linalg.svdvals(features)
    shares = singular_values / singular_values.sum().clamp_min(_EPSILON) + _EPSILON
    return torch.exp(torch.special.entr(shares).sum())


class RankMeObserver(Observer):
    """RankMe of the backbone at the end of each epoch, in eval mode, without augmentation, and in the precision of the run.

    It is measured on up to 1,024 images at equal distances, a quarter of all at most, which costs a few percent of an epoch. The
    number of images bounds the rank, so only runs with equally many images compare.

    Args:
        images: uint8 (images, 3, height, width) or ragged, on any device, or in their files; the backbone sees the centre.
    """

    def __init__(self, plan: RunPlan, images: HeldImages, device: torch.device) -> None:
        self.plan, self.images, self.device = plan, images, device

    def on_epoch_end(self, step: int, epoch: int, method: Method) -> dict[str, float]:
        plan = self.plan
        count = max(1, min(MAX_IMAGES, len(self.images) // _SHARE_OF_IMAGES))
        rows = torch.linspace(0, len(self.images) - 1, count).long()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=plan.precision == "bf16"):
            features = [
                pooled_features(method.backbone, images, plan.mean, plan.std, batch_size=_BATCH, device=self.device)
                for images in map(self._centres, torch.split(rows, _BATCH))
            ]
            return {"rankme": rankme(torch.cat(features)).item()}

    def _centres(self, rows: Tensor) -> Tensor:
        """The central squares of images, float32 (rows, 3, size, size), with the margin that short sides have over views."""
        images, plan = self.images[rows], self.plan
        shapes = shapes_of(images).expand(len(rows), -1)
        sides = (shapes.amin(dim=1, keepdim=True) * plan.image_size / plan.short_side).round().long().expand(-1, 2)
        boxes = torch.cat([(shapes - sides) // 2, sides], dim=1).to(images.device)
        return crop_and_resize(
            images, boxes, torch.zeros(len(rows), dtype=torch.bool, device=images.device), plan.image_size
        )
