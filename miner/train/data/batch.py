"""The input of one step of training."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from miner.train.data.pair_index import PairIndex


@dataclass(frozen=True)
class Batch:
    """Views of the items of a step, and which images they show.

    Attributes:
        first: normalised views of the anchors, float32 (batch, 3, size, size).
        second: normalised views of the positives, and then of the partners, float32 (batch + partners, 3, size, size).
        anchors: rows of the images that `first` shows, int64 (batch,).
        positives: rows of the images that `second` shows, int64 (batch + partners,). An own-view item shows its anchor twice.
        drawn: what the method drew for each part of the step, on the device of the views.
        further: further views of each item, float32 (batch, 3, their size, their size) each; even ones show the anchor, odd ones
            the positive.
        partner_items: which item each partner belongs to, int64 (partners,), ascending; None without partners.
        partner_counts: how many partners each part of the step has; a number for the CPU.
        pair_weight: the weight of the loss of a partner, against 1 of the item's own positive.
        rince: q and lambda of RINCE, the loss of a partner in contrastive methods; None for InfoNCE.
        known_positives: which images are no negatives of each other, on the device of the views; None if all others are negatives.
        step: the number of the step, from 0.
        measured: whether the metrics of this step are looked at; if not, a method need not compute them.
        part, parts: which part of the step this is, and how many there are. Gradients of all parts are summed before the weights
            change. What changes once a step (momentum encoders, queues, centres) does so in the first or the last part.
    """

    first: Tensor
    second: Tensor
    anchors: Tensor
    positives: Tensor
    drawn: tuple[tuple[Tensor, ...], ...] = ()
    further: tuple[Tensor, ...] = ()
    partner_items: Tensor | None = None
    partner_counts: tuple[int, ...] = ()
    pair_weight: float = 1.0
    rince: tuple[float, float] | None = None
    known_positives: PairIndex | None = None
    step: int = 0
    measured: bool = True
    part: int = 0
    parts: int = 1

    @property
    def opens_step(self) -> bool:
        """Whether this is the first part of its step."""
        return self.part == 0

    @property
    def closes_step(self) -> bool:
        """Whether this is the last part of its step."""
        return self.part + 1 == self.parts

    @property
    def partners_weight(self) -> float:
        """Weight of the mean loss over all partners, against 1 of the mean loss over the items; the losses of partners add up."""
        partners = 0 if self.partner_items is None else len(self.partner_items)
        return self.pair_weight * partners / len(self.first)

    def outcome(self, loss: Tensor, metrics: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """ "loss" and, in a step that is measured, the metrics, which are computed without graph."""
        with torch.no_grad():
            return {"loss": loss, **(metrics() if self.measured else {})}

    def known_positive_mask(self, queries: Tensor, others: Tensor) -> Tensor | None:
        """Whether an image is a known positive of the query: bool (queries, others); None if known positives are not masked.

        Args:
            queries, others: int64 (n,) and (m,), rows of images.
        """
        return None if self.known_positives is None else self.known_positives.positives(queries, others)

    def split(self, parts: int) -> list["Batch"]:
        """Equal, consecutive parts of the items; `parts` divides the batch."""
        items = len(self.first)
        own = replace(self, second=self.second[:items], positives=self.positives[:items], partner_items=None, drawn=())
        pieces = {field.name: _pieces(getattr(own, field.name), parts) for field in fields(own)}
        batches = [
            replace(
                own,
                **{name: piece[part] for name, piece in pieces.items() if piece},
                drawn=self.drawn,
                part=part,
                parts=parts,
            )
            for part in range(parts)
        ]
        partner_items = self.partner_items
        return batches if partner_items is None else [self._with_partners(batch, partner_items) for batch in batches]

    def _with_partners(self, part: "Batch", partner_items: Tensor) -> "Batch":
        """A part of this batch with the partners of its items."""
        items, size = len(self.first), len(part.first)
        start, count = sum(self.partner_counts[: part.part]), self.partner_counts[part.part]
        if count == 0:
            return part
        mine = slice(start, start + count)
        return replace(
            part,
            second=torch.cat([part.second, self.second[items:][mine]]),
            positives=torch.cat([part.positives, self.positives[items:][mine]]),
            partner_items=partner_items[mine] % size,
        )


def _pieces(value: Any, parts: int) -> list[Any]:
    """A tensor, or each tensor of a tuple, in parts along its rows; an empty list for what all parts share."""
    if isinstance(value, Tensor):
        return list(value.chunk(parts))
    if isinstance(value, tuple) and all(isinstance(each, Tensor) for each in value):
        return [tuple(pieces) for pieces in zip(*(each.chunk(parts) for each in value), strict=True)]
    return []
