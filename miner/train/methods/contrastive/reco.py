"""ReCo: MoCo that also learns how a view relates to a queue, and how a mixed image relates to both images that it shows."""

from typing import Any

import torch
from torch import Tensor, nn

from miner.images.augment.mixing import cut_and_paste
from miner.learning.parallel.collectives import gather_rows, rows_of_this_process
from miner.learning.unit_rows import l2_normalise, spread
from miner.train.data.batch import Batch
from miner.train.losses.info_nce import contrastive_accuracy, info_nce, info_nce_logits
from miner.train.losses.soft_targets import relation_logits, soft_cross_entropy
from miner.train.methods.contrastive.moco import MoCo
from miner.train.methods.parts.queue import empty_slots, enqueue


class ReCo(MoCo):
    """Relation-aware contrastive learning (Zhang et al. 2022, arXiv 2211.01796): the sum of three terms with weight 1.

    - contrast: MoCo's loss.
    - global relation: the cosines of the query with a second queue follow those of the key of a weak view of the anchor, which is
      only cropped and flipped. Both are softmax distributions; keys of weak views enter that queue.
    - local relation: the first views get a box of the second views of other items (CutMix). The query of a mixed image is
      contrasted with the same mixture of the keys of both views.

    The global relation alone is ReSSL (Zheng et al. 2021, arXiv 2107.09282). Relations count as soon as the queue is full.
    Deviations: the queues start empty instead of with random vectors; the box and the order of the mixing are drawn for the whole
    batch instead of for each device; the mixture has the key of the first view instead of its query. With the query, the target
    moves with the network and the negatives stay behind. So a shift of all features lowers the loss, and short runs collapse.

    Args:
        contrast, global_, local: which terms are part of the loss.
        student_temperature, teacher_temperature: of the queries and of the weak keys, in the global relation.
        of_moco: the other arguments of MoCo.
    """

    weak_queue: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        *,
        contrast: bool,
        global_: bool,
        local: bool,
        student_temperature: float,
        teacher_temperature: float,
        **of_moco: Any,
    ) -> None:
        super().__init__(backbone, width, **of_moco)
        self.contrast, self.global_relation, self.local_relation = contrast, global_, local
        self.student_temperature, self.teacher_temperature = student_temperature, teacher_temperature
        self.register_buffer("weak_queue", torch.zeros_like(self.queue))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step: MoCo's, with the relations, and with weak keys that enter a queue of their own."""
        self._move_keys(batch)
        order, back, weak_order, weak_back, *mixing = batch.drawn[batch.part]
        query, terms, metrics = self._query(batch.first), {}, {}
        strong = self._keys(batch.second, order, back) if self.contrast or self.local_relation else None
        weak = self._keys(batch.further[0], weak_order, weak_back) if self.global_relation else None
        # A factor, so that the CPU need not ask, and that all parameters have a gradient from the first step on.
        full = (self.queued >= len(self.queue)).to(query.dtype)
        if self.contrast and strong is not None:
            terms["contrast"], (logits,) = self._contrast(batch, [query], [strong])
            metrics["accuracy"] = contrastive_accuracy(logits)
        if weak is not None:
            terms["global_relation"] = full * self._global_loss(query, rows_of_this_process(weak))
        if self.local_relation and strong is not None:
            first = rows_of_this_process(self._keys(batch.first, weak_order, weak_back))
            terms["local_relation"] = full * self._local_loss(batch, first, strong, *mixing)
        self._enqueue_items(batch, strong, weak)
        return batch.outcome(
            torch.stack(list(terms.values())).sum(),
            lambda: {
                **metrics,
                **{name: term.detach() for name, term in terms.items()},
                "spread": spread(gather_rows(query)),
            },
        )

    def _global_loss(self, query: Tensor, weak: Tensor) -> Tensor:
        queue, empty = self.weak_queue.clone(), empty_slots(self.queue, self.queued)
        targets = relation_logits(weak, queue, self.teacher_temperature, empty).softmax(dim=1)
        return soft_cross_entropy(relation_logits(query, queue, self.student_temperature, empty), targets)

    def _local_loss(self, batch: Batch, first: Tensor, keys: Tensor, order: Tensor, box: Tensor) -> Tensor:
        """The contrast of mixed images, whose negatives show neither of the two images.

        Args:
            first, keys: of the first views of this process, (items, dim), and of the second views of all, (batch, dim).
            order, box: which items are mixed, and where.
        """
        items, others = len(first), rows_of_this_process(order)
        mixed, own = cut_and_paste(batch.first, gather_rows(batch.second[:items])[others], box)
        target = l2_normalise(own * first + (1.0 - own) * keys[others])
        shown = gather_rows(batch.positives[:items])[others]
        absent = self._absent(batch, batch.anchors) | self._absent(batch, shown)
        logits = info_nce_logits(self._query(mixed), target, self.queue.clone(), self.temperature, absent)
        return info_nce(logits)

    def _enqueue_items(self, batch: Batch, strong: Tensor | None, weak: Tensor | None) -> None:
        rows = gather_rows(batch.positives[: len(batch.first)])
        new = [(self.queue_rows, rows), (self.queue, strong), (self.weak_queue, weak)]
        queues, parts = zip(*((queue, part[: len(rows)]) for queue, part in new if part is not None), strict=True)
        if whole := self._new_of_step.add(batch, *parts):
            enqueue(queues, self.queued, whole)

    def draw(self, items: int, seconds: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Orders of the key encoder for second views and for all others, each with its way back; which items are mixed; the box."""
        order, back = super().draw(items, seconds, generator)
        weak, mixing = (torch.randperm(items, generator=generator) for _ in range(2))
        return order, back, weak, weak.argsort(), mixing, torch.rand(3, generator=generator)

    def passes(self, seconds: float, crops: float) -> tuple[float, float]:
        strong = seconds if self.contrast or self.local_relation else 0
        return 1 + self.local_relation, strong + self.global_relation + self.local_relation
