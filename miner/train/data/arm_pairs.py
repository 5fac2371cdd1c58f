"""The pairs of an arm, drawn from the mined ones."""

from dataclasses import dataclass

import torch
from torch import Tensor

from miner.errors import MinerError
from miner.learning.randomness import generator_for
from miner.train.data.pairs_by_label import pairs_by_label
from miner.train.settings.arms import PairsArm


@dataclass(frozen=True)
class ArmPairs:
    """What a run trains on besides own views.

    Attributes:
        rows: int64 (pairs, 2), rows of images.
        anchors_only: whether the item of a pair shows its anchor twice. The direction of the pair is drawn anew each epoch.
        weights: how often a pair is drawn against others, float64 (pairs,); None for all alike.
    """

    rows: Tensor
    anchors_only: bool = False
    weights: Tensor | None = None

    def facts(self, labels: Tensor) -> dict[str, float | int | None]:
        """What the record of the run says of its pairs.

        Args:
            labels: int64 (images,), -1 where unknown.
        Returns:
            `pair_label_precision`: the share of pairs with equal labels, among pairs of two images whose labels are known; None
            without any. `pair_images`: distinct images in pairs. `pair_max_degree`: most pairs of one image.
        """
        pair_labels = labels[self.rows]
        is_known = (pair_labels >= 0).all(dim=1) & (self.rows[:, 0] != self.rows[:, 1])
        agree = (pair_labels[:, 0] == pair_labels[:, 1])[is_known]
        precision = None if self.anchors_only or len(agree) == 0 else round(agree.double().mean().item(), 6)
        seconds = self.rows[:, 1][self.rows[:, 0] != self.rows[:, 1]]
        degrees = torch.bincount(torch.cat([self.rows[:, 0], seconds]), minlength=1)
        return {
            "pair_label_precision": precision,
            "pair_images": int((degrees > 0).sum()),
            "pair_max_degree": int(degrees.max()),
        }


def draw_pairs(arm: PairsArm, mined: Tensor, labels: Tensor, seed: int) -> ArmPairs:
    """The pairs of an arm. Each arm but `none`, `equal-steps` and `matched-images` has as many as were mined.

    The arms without own views compare pairs of two images with pairs of an image and itself (arXiv 2510.08722). `pairs-only` and
    `matched-augmented` have equally many pairs. `pairs-only` and `matched-images`, which has twice as many, have the same images
    equally often. Steps and schedules are the same in all arms.

    Args:
        arm: which.
        mined: int64 (pairs, 2), rows of different images.
        labels: int64 (images,), -1 where unknown; only arms with `uses_labels` read them.
        seed: the seed of everything that is drawn.
    Raises:
        MinerError: the arm uses labels, and labels are missing or a class is too small.
    """
    generator = generator_for(seed, "arm")
    if arm.precision is not None:
        among = torch.unique(mined) if arm.within else torch.arange(len(labels))
        anchors = torch.searchsorted(among, _anchors(mined, generator))
        return ArmPairs(among[pairs_by_label(anchors, labels[among], arm.precision, generator)])
    match arm.name:
        case "semantic" | "mask-only" | "pairs-only":
            return ArmPairs(mined)
        case "matched-augmented" | "matched-half":
            themselves = _anchors(mined, generator).unsqueeze(1).expand(-1, 2)
            stay = torch.randperm(len(mined), generator=generator) < (arm.name == "matched-half") * len(mined) // 2
            return ArmPairs(torch.where(stay.unsqueeze(1), mined, themselves))
        case "matched-images":
            return ArmPairs(mined.reshape(-1, 1).expand(-1, 2))
        case "anchor-oversample":
            return ArmPairs(mined, anchors_only=True)
        case "partner-shuffle":
            return ArmPairs(shuffled_partners(mined, generator))
        case "random-added":
            return ArmPairs(torch.randint(len(labels), (len(mined), 1), generator=generator).expand(-1, 2))
        case "random-wrong":
            return ArmPairs(draw_random_pairs(len(mined), len(labels), generator))
        case "none" | "equal-steps":
            return ArmPairs(mined[:0])
    raise MinerError(f"There is no arm {arm.name!r}.")


def draw_random_pairs(count: int, images: int, generator: torch.Generator) -> Tensor:
    """Pairs of two different images, drawn uniformly: int64 (count, 2)."""
    first = torch.randint(images, (count,), generator=generator)
    shift = torch.randint(1, images, (count,), generator=generator)
    return torch.stack([first, (first + shift) % images], dim=1)


def shuffled_partners(mined: Tensor, generator: torch.Generator) -> Tensor:
    """The anchors of the mined pairs with permuted partners. Each image stays in as many pairs; no image is paired with itself.

    First, each pair gets a random direction. After the permutation, a pair of an image with itself exchanges its partner with a
    random pair that does not hold the image. There is such a pair, since a mined pair holds an image once at most.

    Args:
        mined: int64 (pairs, 2), rows of different images.
        generator: the generator of directions and the permutation.
    Returns:
        int64 (pairs, 2).
    """
    anchors = _anchors(mined, generator)
    partners = (mined.sum(dim=1) - anchors)[torch.randperm(len(mined), generator=generator)]
    for place in (anchors == partners).nonzero().flatten().tolist():
        image = anchors[place]
        if partners[place] == image:
            free = ((anchors != image) & (partners != image)).nonzero().flatten()
            other = int(free[torch.randint(len(free), (), generator=generator)])
            partners[[place, other]] = partners[[other, place]]
    return torch.stack([anchors, partners], dim=1)


def _anchors(mined: Tensor, generator: torch.Generator) -> Tensor:
    """One image of each pair, drawn uniformly: int64 (pairs,)."""
    side = torch.randint(2, (len(mined), 1), generator=generator)
    return mined.gather(1, side).squeeze(1)
