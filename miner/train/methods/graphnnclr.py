"""GraphNNCLR: DINO whose second views show neighbours of the image; it keeps the graphs of these neighbours."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from miner.artifacts.runs.manifest import STREAMS
from miner.learning.parallel.collectives import gather_rows
from miner.learning.unit_rows import l2_normalise
from miner.machine.transfer import move_together
from miner.text import counted
from miner.train.data.batch import Batch
from miner.train.data.pair_index import PairIndex
from miner.train.methods.dino import DINO
from miner.train.methods.parts.graph_files import save_graphs
from miner.train.methods.parts.neighbour_bank import NeighbourBank, draw_by_votes, edge_homophily

LIST_SIZE = 10


class GraphNNCLR(DINO):
    """The pretraining of GraphNNCLR (IEEE SPL 2025, arXiv 2510.22322), which is AdaSim (Lebailly et al. 2023, arXiv 2303.13606).

    Teacher and student are the two streams. Each stream keeps the newest backbone features of all images (of the first view,
    of length 1). For each image, the stream also keeps a list of the 10 nearest neighbours in each of the last w epochs. A
    step looks up neighbours before it replaces the features of the epoch before, so an image competes with its own earlier
    view.

    The lists of the teacher vote: the votes for a candidate are the sum of its similarities. The lists of an image are trusted if
    there are w of them and the image itself has most votes. Then the second view shows a candidate, drawn by a softmax of the mean
    votes with temperature 0.001. Otherwise both views show the image itself. The first `graph_edges` other images of each list
    are the edges of two graphs, for a graph network later.

    Semantic pairs as a prior are not in the paper. Without trusted lists, the second view shows a mined partner, drawn uniformly.
    In trusted lists, each partner gets one more vote, as if another list held it with similarity 1. The mined similarities are
    not used: they come from another encoder.

    Loss and teacher are DINO's. Only an item of an image with itself gets a neighbour; the item of a mined pair does not change.

    Args:
        images, steps_per_epoch: the images of the run, and the steps of an epoch.
        graph_edges: edges per image and epoch, k_e.
        graph_window: epochs whose lists are kept, w.
        graph_prior: whether the pairs of `take_index` are a prior.
    """

    def __init__(
        self,
        backbone: nn.Module,
        width: int,
        *,
        images: int,
        steps_per_epoch: int,
        graph_edges: int,
        graph_window: int,
        graph_prior: bool,
        **of_dino: Any,
    ) -> None:
        super().__init__(backbone, width, steps_per_epoch=steps_per_epoch, **of_dino)
        self.steps_per_epoch = steps_per_epoch
        self.graph_edges, self.graph_window, self.graph_prior = graph_edges, graph_window, graph_prior
        of_graph = min(graph_edges + 1, images)
        self.teacher_bank = NeighbourBank(
            images, width, window=graph_window, listed=min(max(LIST_SIZE, of_graph), images)
        )
        self.student_bank = NeighbourBank(images, width, window=graph_window, listed=of_graph)
        self._prior: PairIndex | None = None
        self._prior_here: PairIndex | None = None

    def take_index(self, index: PairIndex) -> None:
        if self.graph_prior:
            self._prior, self._prior_here = index, index.to(self.centre.device)

    @torch.no_grad()
    def choose_positives(self, anchors: Tensor, positives: Tensor, generator: torch.Generator) -> Tensor:
        own, uniform = anchors == positives, torch.rand(len(anchors), generator=generator)
        if self._prior is not None:
            partner_items, partners = self._prior.draw_partners(anchors, 1, generator)
            positives = torch.where(own, anchors.index_copy(0, partner_items, partners), positives)
        rows, own, uniform, positives = move_together((anchors, own, uniform, positives), self.centre.device)
        candidates, votes = self.teacher_bank.votes(rows)
        trusted = own & self.teacher_bank.trusted(rows, candidates)
        if self._prior_here is not None:
            votes = votes + self._prior_here.holds(rows.unsqueeze(1), candidates)
        drawn = draw_by_votes(candidates, votes, self.graph_window, uniform)
        return torch.where(trusted, drawn, positives)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """One step of DINO; then both banks take up the features of the first views."""
        outcome, student, teacher = self.distil(batch)
        items, epoch = len(batch.first), batch.step // self.steps_per_epoch
        rows, positives = gather_rows(batch.anchors), gather_rows(batch.positives[:items])
        churn = self.teacher_bank.take(rows, gather_rows(l2_normalise(teacher[:items])), epoch)
        self.student_bank.take(rows, gather_rows(l2_normalise(student[:items])), epoch)
        own = (
            {"neighbour_views": (rows != positives).float().mean(), "neighbour_churn": churn} if batch.measured else {}
        )
        return outcome | own

    def notes(self) -> list[str]:
        size_mb = (self.teacher_bank.size_bytes + self.student_bank.size_bytes) / 1e6
        images = len(self.teacher_bank.features)
        first = self.graph_window * self.steps_per_epoch
        views = (
            f"second views show neighbours after {counted(self.graph_window, 'epoch')}"
            if first < self.steps
            else "no second view shows a neighbour in this run: that takes more than "
            f"{counted(self.graph_window, 'epoch')} (--graph-window)"
        )
        return [
            f"{size_mb:,.1f} MB for features and neighbours of {counted(images, 'image')}, in memory and in each checkpoint",
            views + (", mined partners from the first step on" if self.graph_prior else ""),
        ]

    @torch.no_grad()
    def observe(self, labels: Tensor) -> dict[str, float]:
        """Edge homophily of the newest list of every image, in both graphs."""
        banks = {"purity": self.teacher_bank, "student_purity": self.student_bank}
        return {name: edge_homophily(bank.newest(self.graph_edges).cpu(), labels) for name, bank in banks.items()}

    def save(self, folder: Path, keys: Sequence[str]) -> list[Path]:
        """The backbone of the teacher, and the graphs and features of both streams."""
        banks = dict(zip(STREAMS, (self.teacher_bank, self.student_bank), strict=True))
        return [*super().save(folder, keys), *save_graphs(folder, keys, banks, self.graph_edges)]
