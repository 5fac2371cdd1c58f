"""From a step's rows to its views."""

import torch
from torch import Tensor

from miner.errors import UsageError
from miner.train.augment import Augmentation, SmallCrops
from miner.train.batch import Batch
from miner.train.distributed import own_columns, world_size
from miner.train.pair_index import PairIndex
from miner.train.plan import Plan
from miner.train.randomness import generator


class StepBatches:
    """Makes the batch of any step; what is random in it depends on the seed and the step alone.

    Args:
        plan: of the run.
        images: uint8 (images, 3, canvas, canvas), anywhere.
        device: of the views.
        index: partners of the images, on the CPU; needed where the plan joins partners or masks known positives.
    Raises:
        UsageError: partners are to join on several processes, whose batches would differ in size.
    """

    def __init__(self, plan: Plan, images: Tensor, device: torch.device, index: PairIndex | None) -> None:
        if plan.partners and world_size() > 1:
            raise UsageError("--partners works on one process only: steps of several would differ in size.")
        self.plan, self.images, self.device, self.index = plan, images, device, index
        self.augment = Augmentation(plan.image_size, plan.mean, plan.std, plan.views)
        crop = Augmentation(plan.local_size, plan.mean, plan.std, plan.small_views)
        self.small_crops = SmallCrops(plan.local_crops, crop)
        self.known = index.to(device) if index is not None and plan.mask_known_positives else None

    def __call__(self, items: Tensor, step: int) -> Batch:
        """This process's part of the batch of a step, with the views that it has in the whole.

        Args:
            items: rows of the anchors and of their positives in the whole batch, int64 (2, batch) on the CPU.
            step: from 0.
        """
        draw = generator(self.plan.seed, "step", step)
        anchors, positives = own_columns(items)
        owners = partners = anchors[:0]
        if self.index is not None and self.plan.partners:
            of_step = generator(self.plan.seed, "partners", step)
            owners, partners = self.index.draw(anchors, self.plan.partners, of_step)
        rows = torch.cat([anchors, positives, partners])
        pixels = self.images[rows.to(self.images.device)].to(self.device, non_blocking=True)
        count = items.numel()
        views = self.augment.draw(count + len(partners), pixels.shape[-1], draw, items.shape[1])
        own = own_columns(torch.arange(count).view(2, -1)).flatten()
        own = torch.cat([own, torch.arange(count, count + len(partners))])
        first, second = self.augment.apply(pixels, views[own]).tensor_split([len(anchors)])
        crops = self.small_crops(pixels[: len(anchors)], pixels[len(anchors) : 2 * len(anchors)], draw)
        anchors, positives = rows.to(self.device).tensor_split([len(anchors)])
        return Batch(
            first,
            second,
            anchors,
            positives,
            draw,
            crops,
            owners=owners.to(self.device) if len(owners) else None,
            partner_weight=self.plan.pair_weight,
            known=self.known,
        )
