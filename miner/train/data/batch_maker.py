"""Makes the batch of a step: it takes the rows of the items and draws their views."""

import torch
from torch import Tensor

from miner.errors import UsageError
from miner.images.augment.views import Augmentation
from miner.images.ragged import HeldImages, device_of_rows
from miner.images.stream import StreamedImages
from miner.learning.parallel.collectives import columns_of_this_process, rows_of_this_process, world_size
from miner.learning.randomness import generator_for
from miner.train.data.batch import Batch
from miner.train.data.local_crops import LocalCrops
from miner.train.data.pair_index import PairIndex
from miner.train.data.sampler import CombinedSampler
from miner.train.settings.plan import RunPlan


class BatchMaker:
    """Makes the batch of any step. Its random numbers depend on the seed and the step alone.

    Args:
        images: uint8 (images, 3, height, width) or ragged, on any device, or in their files.
        device: the device of the views.
        index: which images are partners, on the CPU; needed if partners join or known positives are masked.
    Raises:
        UsageError: partners would join on several processes.
    """

    def __init__(self, plan: RunPlan, images: HeldImages, device: torch.device, index: PairIndex | None) -> None:
        if plan.options.partners and world_size() > 1:
            raise UsageError("--partners works on one process only: the batches of several would differ in size.")
        self.plan, self.options, self.images, self.device, self.index = plan, plan.options, images, device, index
        self.augment = Augmentation(plan.image_size, plan.mean, plan.std, plan.views)
        crop = Augmentation(plan.local_size, plan.mean, plan.std, plan.local_views)
        self.local_crops = LocalCrops(plan.options.local_crops, crop)
        self.known_positives = index.to(device) if index is not None and plan.options.mask_known_positives else None

    def __call__(self, items: Tensor | tuple[Tensor, Tensor], step: int) -> Batch:
        """This process's part of the batch of a step. Its views are those that one process would make of these items.

        Args:
            items: rows of the whole batch, int64 (2, batch): anchors, on the CPU, and their positives, on any device.
            step: counted from 0.
        """
        generator = generator_for(self.options.seed, "step", step)
        partner_items, rows = self._rows(items, step)
        held = self.images.next_step(rows) if isinstance(self.images, StreamedImages) else self.images[rows]
        pixels = held.to(self.device, non_blocking=True)
        batch_size = len(items[0])
        own = columns_of_this_process(torch.arange(2 * batch_size).view(2, -1))
        count, partners = own.shape[1], torch.arange(2 * batch_size, 2 * batch_size + len(partner_items))
        all_views = 2 * batch_size + len(partner_items)
        parameters = self.augment.draw_parameters(all_views, generator, firsts=batch_size)
        own_parameters = parameters[torch.cat([own.flatten(), partners])]
        first, second = self.augment.apply(pixels, own_parameters).tensor_split([count])
        crops = self.local_crops(pixels[:count], pixels[count : 2 * count], generator)
        anchors, positives = rows.to(self.device).tensor_split([count])
        return Batch(
            first,
            second,
            anchors,
            positives,
            generator,
            crops,
            partner_items=partner_items.to(self.device) if len(partner_items) else None,
            pair_weight=self.options.pair_weight,
            known_positives=self.known_positives,
            step=step,
        )

    def look_ahead(self, sampler: CombinedSampler, start: int) -> None:
        """Let images in their files be decoded ahead of the steps from `start` on."""
        if isinstance(self.images, StreamedImages):
            items = enumerate(sampler.batches(start, self.plan.steps), start)
            self.images.expect(self._rows(of_step, step)[1] for step, of_step in items)

    def _rows(self, items: Tensor | tuple[Tensor, Tensor], step: int) -> tuple[Tensor, Tensor]:
        """The item of each partner, and the rows of this process's part of a step: anchors, positives, partners."""
        anchors, positives = (rows_of_this_process(rows) for rows in items)
        partner_items = partners = anchors[:0]
        if self.index is not None and self.options.partners:
            of_step = generator_for(self.options.seed, "partners", step)
            partner_items, partners = self.index.draw_partners(anchors, self.options.partners, of_step)
        device = device_of_rows(self.images)
        return partner_items, torch.cat([part.to(device) for part in (anchors, positives, partners)])
