"""PatchMix: contrasts images that are mixed of patches of several with single images and with other mixtures."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from miner.artifacts.runs.manifest import TEACHER_FILE
from miner.images.augment.mixing import draw_slots, mix_patches
from miner.learning.networks.heads import mlp
from miner.learning.networks.momentum import momentum_at, move_towards, slow_copy
from miner.learning.networks.weights import save_weights
from miner.learning.parallel.collectives import gather_rows, rows_of_this_process
from miner.learning.randomness import seeded
from miner.learning.unit_rows import l2_normalise, spread
from miner.train.data.batch import Batch
from miner.train.losses.info_nce import info_nce_logits
from miner.train.losses.soft_targets import common_shares, mixture_shares, relation_logits, soft_cross_entropy
from miner.train.methods.base import Method
from miner.train.methods.parts.partners import contrast_of_partners, either, own_item


class Shown(NamedTuple):
    """Features of views, and what the views show.

    Attributes:
        features: rows of length 1: queries of this process, or keys of all processes.
        images: rows of the images of all items, int64 (batch,).
        shares: how much of the image of each item is in each view of the batch, (batch, batch).
    """

    features: Tensor
    images: Tensor
    shares: Tensor


class PatchMix(Method):
    """Inter-instance similarity modelling (Shen et al. 2023, arXiv 2306.12243), with the other items of the batch as negatives.

    A mixture has patches of an item and of the next `mixed_images` - 1 items of the batch, all at their places. The loss is a sum:

    - contrast: queries of first views, keys of second views;
    - 1/2 mixed to single: queries of mixed second views, keys of first views;
    - 1/2 mixed to mixed: queries of mixed second views, keys of mixed first views;
    - with local crops, the means over crops and over mixed crops of the contrast with first views and with second views.

    Targets are the shares of an image that query and key have in common. With one image in a mixture, the loss is the symmetric
    contrast of MoCo v3 (Chen et al. 2021, arXiv 2104.02057), without its factor. Deviations: the items of a mixture come from the
    whole batch instead of the part of a device; patches that are left over count in the targets.

    Args:
        hidden_dim, dim, projector_layers: widths and layers of the projector.
        predictor_dim: width of the hidden layer of the predictor.
        momentum: of the key encoder in the first step; with 0, keys come from the network that learns, as those of the authors'
            ViT-T.
        momentum_grows: whether it grows to 1 in so many `steps`, along half a cosine.
        mixed_images: images in a mixture.
        soft_targets: whether targets are shares; if not, a mixture counts as its first image.
        mixed_to_mixed: whether that term is part of the loss.
        mixed_grids: patches per side of first views, of second views and of each local crop.
    """

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        *,
        dim: int,
        hidden_dim: int,
        predictor_dim: int,
        temperature: float,
        momentum: float,
        mixed_images: int,
        soft_targets: bool,
        mixed_to_mixed: bool,
        mixed_grids: tuple[int, ...],
        steps: int,
        seed: int,
        momentum_grows: bool = True,
        projector_layers: int = 2,
    ) -> None:
        super().__init__(backbone)
        with seeded(seed, "head"):
            widths = width, *[hidden_dim] * (projector_layers - 1), dim
            self.head = mlp(*widths, last=nn.BatchNorm1d(dim, affine=False), bias=False)
            self.predictor = mlp(dim, predictor_dim, dim, last=nn.BatchNorm1d(dim, affine=False), bias=False)
        self.key_encoder = slow_copy(nn.Sequential(self.backbone, self.head)) if momentum else None
        self.temperature, self.momentum, self.momentum_grows, self.steps = temperature, momentum, momentum_grows, steps
        self.mixed_images, self.mixed_grids = mixed_images, mixed_grids
        self.soft_targets, self.mixed_to_mixed = soft_targets, mixed_to_mixed

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step: the key encoder moves, images are mixed, and the terms of the loss are summed."""
        if self.key_encoder is not None and batch.opens_step:
            momentum = momentum_at(batch.step, self.steps, self.momentum, self.momentum_grows)
            move_towards(self.key_encoder, [*self.backbone.parameters(), *self.head.parameters()], momentum)
        items = len(batch.first)
        anchors, positives = gather_rows(batch.anchors), gather_rows(batch.positives[:items])
        own = torch.eye(len(anchors), dtype=batch.first.dtype, device=batch.first.device)
        mixed_first, mixed_second, *mixed_crops = self._mixtures(batch, len(anchors))
        projections = self._project(batch.first)
        queries = Shown(self._predict(projections), anchors, own)
        first = (
            self._keys(batch.first) if self.key_encoder is not None else gather_rows(l2_normalise(projections.detach()))
        )
        second = self._keys(batch.second)
        keys = Shown(first, anchors, own), Shown(second[: len(anchors)], positives, own)
        mixed = Shown(self._predict(self._project(mixed_second[0])), positives, mixed_second[1])
        terms = {
            "contrast": self._contrast(batch, queries, keys[1]),
            "mixed_to_single": 0.5 * self._contrast(batch, mixed, keys[0]),
        }
        if self.mixed_to_mixed:
            mixed_keys = Shown(self._keys(mixed_first[0]), anchors, mixed_first[1])
            terms["mixed_to_mixed"] = 0.5 * self._contrast(batch, mixed, mixed_keys)
        if batch.further:
            clean = [(crop, own) for crop in batch.further]
            terms["crops"] = self._of_crops(batch, clean, keys) + self._of_crops(batch, mixed_crops, keys)
        if batch.partner_items is not None:
            of_partners = self._of_partners(batch, batch.partner_items, queries.features, second)
            terms["contrast"] = terms["contrast"] + batch.partners_weight * of_partners
        return batch.outcome(
            torch.stack(list(terms.values())).sum(),
            lambda: {
                "accuracy": self._accuracy(queries, keys[1]),
                **{name: term.detach() for name, term in terms.items()},
                "spread": spread(gather_rows(queries.features)),
            },
        )

    def _mixtures(self, batch: Batch, items: int) -> list[tuple[Tensor, Tensor]]:
        """The mixed first views, second views and local crops of this process, and the shares of all their `items`."""
        views, ahead, made = (batch.first, batch.second[: len(batch.first)], *batch.further), self.mixed_images - 1, []
        for view, slots in zip(views, batch.drawn[batch.part], strict=True):
            # The items after those of this process are the first ones of the next process.
            following = rows_of_this_process(gather_rows(view[:ahead]).roll(-ahead, dims=0)) if ahead else view[:0]
            mixed, shares = mix_patches(view, following, slots)
            made.append((mixed, mixture_shares(items, shares)))
        return made

    def _project(self, view: Tensor) -> Tensor:
        projections: Tensor = self.head(self.backbone(view))
        return projections

    def _predict(self, projections: Tensor) -> Tensor:
        return l2_normalise(self.predictor(projections))

    @torch.no_grad()
    def _keys(self, view: Tensor) -> Tensor:
        return gather_rows(l2_normalise(self._project(view) if self.key_encoder is None else self.key_encoder(view)))

    def _contrast(self, batch: Batch, queries: Shown, keys: Shown) -> Tensor:
        """Cross-entropy with what query and key share; known positives of an image of the query are no negatives."""
        shares = rows_of_this_process(queries.shares)
        itself = rows_of_this_process(torch.eye(len(keys.shares), dtype=shares.dtype, device=shares.device))
        targets = common_shares(shares, keys.shares) if self.soft_targets else itself
        known, absent = batch.known_positive_mask(queries.images, keys.images), None
        if known is not None:
            absent = (common_shares(shares, keys.shares, known.to(shares.dtype)) > 0) & (targets == 0)
        return soft_cross_entropy(relation_logits(queries.features, keys.features, self.temperature, absent), targets)

    def _of_crops(self, batch: Batch, crops: Sequence[tuple[Tensor, Tensor]], keys: tuple[Shown, Shown]) -> Tensor:
        """The mean over crops of the contrast with first views and that with second views; all crops pass as one batch."""
        # Even crops show what first views show, odd ones what second views show.
        features = self._predict(self._project(torch.cat([crop for crop, _ in crops]))).chunk(len(crops))
        queries = [
            Shown(rows, keys[number % 2].images, shares)
            for number, (rows, (_, shares)) in enumerate(zip(features, crops, strict=True))
        ]
        losses = [self._contrast(batch, query, key) for query in queries for key in keys]
        return torch.stack(losses).sum() / len(crops)

    def _of_partners(self, batch: Batch, partner_items: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
        """The mean contrast of first views with their partners; negatives are the second views of other items."""
        items = len(batch.first)
        known = batch.known_positive_mask(batch.anchors[partner_items], batch.positives[:items])
        absent = either(own_item(partner_items, items), known)
        logits = info_nce_logits(queries[partner_items], keys[items:], keys[:items], self.temperature, absent)
        return contrast_of_partners(batch, logits, self.temperature)

    def _accuracy(self, queries: Shown, keys: Shown) -> Tensor:
        """Share of first views whose own second view is the most similar one, float32 scalar."""
        nearest = relation_logits(queries.features, keys.features, self.temperature).argmax(dim=1)
        return (nearest == rows_of_this_process(torch.arange(len(keys.features), device=nearest.device))).float().mean()

    def draw(self, items: int, seconds: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Which image each patch of first views, second views and local crops shows; the same in all mixtures of a view."""
        return tuple(draw_slots(side, self.mixed_images, generator) for side in self.mixed_grids)

    def passes(self, seconds: float, crops: float) -> tuple[float, float]:
        return 2 + 2 * crops, seconds + self.mixed_to_mixed + (self.key_encoder is not None)

    def save(self, folder: Path, keys: Sequence[str]) -> list[Path]:
        """The backbone of the key encoder, if there is one."""
        if self.key_encoder is None:
            return []
        save_weights(folder / TEACHER_FILE, self.key_encoder[0])
        return [folder / TEACHER_FILE]
