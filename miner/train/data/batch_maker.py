"""Makes the batch of a step: it takes the rows of the items and draws their views."""

from collections.abc import Callable

import torch
from torch import Tensor

from miner.errors import UsageError
from miner.images.augment.views import Augmentation, ViewParameters
from miner.images.ragged import HeldImages, Pixels
from miner.images.stream import ImagesAhead
from miner.learning.parallel.collectives import columns_of_this_process, rows_of_this_process, world_size
from miner.learning.randomness import generator_for
from miner.machine.transfer import move_together
from miner.train.data.batch import Batch
from miner.train.data.further_views import FurtherViews
from miner.train.data.pair_index import PairIndex
from miner.train.data.sampler import CombinedSampler
from miner.train.settings.plan import RunPlan


def _draw_nothing(items: int, seconds: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    return ()


class BatchMaker:
    """Makes the batch of any step. Its random numbers depend on the seed and the step alone.

    Args:
        images: uint8 (images, 3, height, width) or ragged, on any device, or in their files.
        device: the device of the views.
        index: which images are partners, on the CPU; needed if partners join or known positives are masked.
        draw: what the method draws for each part of a step (`Method.draw`).
    Raises:
        UsageError: partners would join on several processes.
    """

    def __init__(
        self,
        plan: RunPlan,
        images: HeldImages,
        device: torch.device,
        index: PairIndex | None,
        draw: Callable[[int, int, torch.Generator], tuple[Tensor, ...]] = _draw_nothing,
    ) -> None:
        if plan.options.partners and world_size() > 1:
            raise UsageError("--partners works on one process only: the batches of several would differ in size.")
        self.plan, self.options, self.images, self.device, self.index = plan, plan.options, images, device, index
        self.draw = draw
        self.augment = Augmentation(plan.image_size, plan.mean, plan.std, plan.views)
        further = plan.further_views
        self.further = FurtherViews(further.count, Augmentation(further.size, plan.mean, plan.std, further.settings))
        self.known_positives = index.to(device) if index is not None and plan.options.mask_known_positives else None

    def __call__(self, items: Tensor | tuple[Tensor, Tensor], step: int) -> Batch:
        """This process's part of the batch of a step. Its views are those that one process would make of these items.

        On a GPU, this is called while the step before runs: all that is random is drawn on the CPU and goes over in one copy.

        Args:
            items: rows of the whole batch, int64 (2, batch): anchors, on the CPU, and their positives, on any device.
            step: counted from 0.
        """
        generator = generator_for(self.options.seed, "step", step)
        partner_items, rows = self._rows(items, step)
        held = self._held(rows)
        count, batch_size = len(rows[0]), len(items[0])
        total = sum(map(len, rows))
        pixels = self._shape_of_all(total) if held is None else held
        views = self._draw_views(batch_size, len(partner_items), generator).ready(pixels)
        further = self.further.draw(pixels[:count], pixels[count : 2 * count], generator)
        partner_counts = self._partner_counts(partner_items, count)
        drawn = tuple(
            self.draw(
                batch_size // self.options.accumulate, batch_size // self.options.accumulate + partners, generator
            )
            for partners in partner_counts
        )
        rows, partner_items, views, further, drawn = move_together(
            (rows, partner_items, views, further, drawn), self.device
        )
        shown = torch.cat(rows)
        pixels = self.images[shown] if held is None else held
        first, second = self.augment.apply(pixels, views).tensor_split([count])
        anchors, positives = shown.tensor_split([count])
        return Batch(
            first,
            second,
            anchors,
            positives,
            drawn,
            self.further(pixels[:count], pixels[count : 2 * count], further),
            partner_items=partner_items if len(partner_items) else None,
            partner_counts=partner_counts,
            pair_weight=self.options.pair_weight,
            rince=self.options.rince,
            known_positives=self.known_positives,
            step=step,
        )

    def look_ahead(self, sampler: CombinedSampler, start: int) -> None:
        """Let images that are not on the device be made ready ahead of the steps from `start` on."""
        if isinstance(self.images, ImagesAhead):
            items = enumerate(sampler.batches(start, self.plan.steps), start)
            self.images.expect(torch.cat(self._rows(of_step, step)[1]) for step, of_step in items)

    def _rows(self, items: Tensor | tuple[Tensor, Tensor], step: int) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """The item of each partner, and the rows of this process's part of a step: anchors, positives, partners."""
        anchors, positives = (rows_of_this_process(rows) for rows in items)
        partner_items = partners = anchors[:0]
        if self.index is not None and self.options.partners:
            of_step = generator_for(self.options.seed, "partners", step)
            partner_items, partners = self.index.draw_partners(anchors, self.options.partners, of_step)
        return partner_items, (anchors, positives, partners)

    def _held(self, rows: tuple[Tensor, Tensor, Tensor]) -> Pixels | None:
        """The images of a step on the device; None if the device holds all images in one tensor and needs the rows first."""
        if isinstance(self.images, Tensor) and self.images.device == self.device:
            return None
        # Only a method that chooses rows on the device waits here.
        chosen = torch.cat([part.cpu() for part in rows])
        held = self.images.next_step(chosen) if isinstance(self.images, ImagesAhead) else self.images[chosen]
        return held.to(self.device, non_blocking=True)

    def _shape_of_all(self, count: int) -> Tensor:
        """Of images in one tensor on the device, the shape alone matters before the rows are there."""
        assert isinstance(self.images, Tensor)
        return self.images[:1].expand(count, -1, -1, -1)

    def _draw_views(self, batch_size: int, partners: int, generator: torch.Generator) -> ViewParameters:
        """Parameters of this process's views of a batch: first ones, second ones, and those of partners."""
        own = columns_of_this_process(torch.arange(2 * batch_size).view(2, -1))
        whole = self.augment.draw_parameters(2 * batch_size + partners, generator, firsts=batch_size)
        return whole[torch.cat([own.flatten(), torch.arange(2 * batch_size, 2 * batch_size + partners)])]

    def _partner_counts(self, partner_items: Tensor, items: int) -> tuple[int, ...]:
        """How many partners each part of the step has."""
        parts = self.options.accumulate
        return tuple(torch.bincount(partner_items // (items // parts), minlength=parts).tolist())
