"""Features of all images of a data set and, for every image, lists of its nearest neighbours in the last epochs."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from miner.learning.nearest import nearest_by_blocks

SHARPNESS = 0.001  # temperature of the draw among votes
_NEVER = torch.iinfo(torch.int32).min


class Edges(NamedTuple):
    """Directed edges, sorted by node, then by epoch, then by falling similarity.

    Attributes:
        nodes, neighbours: rows of images, int64 (edges,).
        epochs: in which the neighbour was found, from 0, int64 (edges,).
        similarities: cosines in that epoch, float32 (edges,).
    """

    nodes: Tensor
    neighbours: Tensor
    epochs: Tensor
    similarities: Tensor


class NeighbourBank(nn.Module):
    """One stream (student or teacher) of GraphNNCLR: N features, and for each image `window` lists of `listed` neighbours.

    A list may hold the image itself, as it was an epoch before; this vote decides whether the neighbours can be trusted. An image
    writes one list per epoch, over its oldest one. Empty places are -1 with similarity 0.

    Args:
        images: how many, N.
        width: the width of the features.
        window: lists kept per image, w.
        listed: neighbours in a list, k.
    """

    features: Tensor
    ids: Tensor
    similarities: Tensor
    epochs: Tensor

    def __init__(self, images: int, width: int, *, window: int, listed: int) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(images, width))
        self.register_buffer("ids", torch.full((images, window, listed), -1, dtype=torch.int32))
        self.register_buffer("similarities", torch.zeros(images, window, listed))
        # Below 0 for a list that is still empty; all are different, so that there is always one oldest list.
        self.register_buffer("epochs", torch.arange(-window, 0, dtype=torch.int32).repeat(images, 1))

    @property
    def size_bytes(self) -> int:
        return sum(buffer.nbytes for buffer in self.buffers())

    @torch.no_grad()
    def take(self, rows: Tensor, features: Tensor, epoch: int) -> Tensor:
        """Look up the neighbours of some images, then put the features of these images into the bank.

        If an image occurs twice, its first row counts.

        Args:
            rows: the rows of the images, int64 (batch,).
            features: rows of length 1, float32 (batch, width).
            epoch: counted from 0.
        Returns:
            Churn, float32 scalar: the share of neighbours that were not in the previous list of the image; 1 for a first list.
        """
        first = (rows.unsqueeze(1) == rows).int().argmax(dim=1)
        features = features[first].to(self.features.dtype)
        filled = self.epochs.amax(dim=1) >= 0
        found, ids = nearest_by_blocks(features, self.features, self.ids.shape[2], filled)
        found, ids = found[first], ids[first]
        churn = self._churn(rows, ids)
        written = self.epochs[rows]
        slot = written.masked_fill(written == epoch, _NEVER).argmin(dim=1)
        self.ids[rows, slot] = ids.int()
        self.similarities[rows, slot] = found.to(self.similarities.dtype)
        self.epochs[rows, slot] = epoch
        self.features[rows] = features
        return churn

    @torch.no_grad()
    def votes(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Candidates for a second view and their votes. The votes are sums of similarities over the lists.

        Args:
            rows: the rows of images, int64 (batch,).
        Returns:
            The `listed` candidates with most votes, int64 (batch, listed), and their votes, float32; -1 and -inf where there are
            fewer candidates.
        """
        ids, similarities = self.ids[rows].flatten(1), self.similarities[rows].flatten(1)
        same = ids.unsqueeze(2) == ids.unsqueeze(1)
        votes = (same * similarities.unsqueeze(1)).sum(dim=2)
        repeated = same.tril(-1).any(dim=2)
        best = votes.masked_fill(repeated | (ids < 0), -torch.inf).topk(self.ids.shape[2])
        candidates = ids.gather(1, best.indices).long()
        return candidates.masked_fill(best.values == -torch.inf, -1), best.values

    def trusted(self, rows: Tensor, candidates: Tensor) -> Tensor:
        """Whether an image has all its lists, and most votes among its own candidates: bool (batch,)."""
        return (self.epochs[rows] >= 0).all(dim=1) & (candidates[:, 0] == rows)

    def edges(self, per_list: int) -> Edges:
        """The graph: edges from every image to the first `per_list` others of each of its lists."""
        order = self.epochs.argsort(dim=1)
        by_age = order.unsqueeze(2).expand_as(self.ids)
        ids, similarities = self.ids.gather(1, by_age), self.similarities.gather(1, by_age)
        epochs = self.epochs.gather(1, order).unsqueeze(2).expand_as(ids)
        nodes = torch.arange(len(ids), device=ids.device).view(-1, 1, 1).expand_as(ids)
        kept = first_others(ids, nodes, per_list)
        return Edges(nodes[kept], ids[kept].long(), epochs[kept].long(), similarities[kept])

    def newest(self, per_list: int) -> Tensor:
        """The first `per_list` others of each image's newest list, and -1 elsewhere: int64 (N, listed)."""
        nodes = torch.arange(len(self.ids), device=self.ids.device)
        ids = self.ids[nodes, self.epochs.argmax(dim=1)]
        return ids.masked_fill(~first_others(ids, nodes.unsqueeze(1), per_list), -1).long()

    def _churn(self, rows: Tensor, ids: Tensor) -> Tensor:
        before = self.ids[rows, self.epochs[rows].argmax(dim=1)]
        others = (ids >= 0) & (ids != rows.unsqueeze(1))
        stayed = (ids.unsqueeze(2) == before.unsqueeze(1)).any(dim=2) & others
        return 1.0 - stayed.sum().float() / others.sum().clamp_min(1)


def first_others(ids: Tensor, nodes: Tensor, count: int) -> Tensor:
    """Mask of the first `count` images in each list other than the node itself: bool like `ids`, (..., listed)."""
    others = (ids >= 0) & (ids != nodes)
    return others & (others.cumsum(dim=-1) <= count)


def edge_homophily(neighbours: Tensor, labels: Tensor) -> float:
    """Share of edges that join images of equal labels, among those where both labels are known; nan without any.

    Args:
        neighbours: the neighbours of each image, int64 (n, k), -1 for none.
        labels: int64 (n,), -1 where unknown.
    """
    theirs = torch.where(neighbours >= 0, labels[neighbours], -1)
    known = (theirs >= 0) & (labels >= 0).unsqueeze(1)
    return (theirs == labels.unsqueeze(1))[known].float().mean().item()


def draw_by_votes(candidates: Tensor, votes: Tensor, lists: int, uniform: Tensor) -> Tensor:
    """One candidate for each image, drawn by a softmax of the mean votes with temperature 0.001.

    Args:
        candidates: int64 (batch, k).
        votes: sums over the lists, -inf for no candidate, float32 (batch, k).
        lists: how many lists the votes are sums over.
        uniform: random numbers in [0, 1), float32 (batch,).
    Returns:
        int64 (batch,).
    """
    # Finite, so that rows without any candidate give no nan.
    means = votes.clamp_min(-1e6) / lists
    shares = torch.softmax(means / SHARPNESS, dim=1).cumsum(dim=1)
    place = (shares < uniform.unsqueeze(1) * shares[:, -1:]).sum(dim=1, keepdim=True)
    return candidates.gather(1, place).squeeze(1)
