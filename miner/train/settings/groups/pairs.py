"""Which pairs are trained on, and how."""

from typing import Self

from pydantic import field_validator, model_validator

from miner.options import flag_name, option
from miner.train.settings.arms import PAIRS_ARMS, PairsArm
from miner.train.settings.groups.basics import BasicOptions
from miner.train.settings.method_defaults import CONTRASTIVE, METHOD_DEFAULTS

_ARMS = " ".join(f"{name}: {meaning}." for name, meaning in PAIRS_ARMS.items())


class PairOptions(BasicOptions):
    """The options on pairs."""

    panel = "pairs"

    pairs_arm: str = option("semantic", metavar="ARM", note=_ARMS)
    """What the run trains on besides own views. The arms other than `semantic` are controls that show what the pairs add. Every
    arm except `none` takes as many steps as `semantic`."""
    pairs_per_anchor: int | None = option(None, ge=1)
    """Keep at most this many pairs per image, the most similar ones. Without a limit, hubs are seen more often than others."""
    partners: int = option(0, ge=0)
    """Partners of an image that join its own two views in one step, as further positives, drawn anew each epoch. 0 makes each
    pair an item of its own: more steps, each of the usual size."""
    pair_weight: float = option(1.0, gt=0)
    """Weight of each of the --partners in the loss, against 1 of the own view. Below 1 if many pairs are wrong."""
    mask_known_positives: bool = option(False, note=f"It is an option of {', '.join(CONTRASTIVE)}.")
    """Leave out of the negatives of an image its other views, its older keys in the queue, and its partners. Try it if the queue
    or the batch holds a large share of all images."""
    graph_prior: bool | None = option(None)
    """graphnnclr: use the pairs as known neighbours from the first epoch on, instead of as items of their own."""

    @property
    def pairs_are_items(self) -> bool:
        """Whether a pair is trained on as an item of its own."""
        return not (self.partners or self.graph_prior)

    @field_validator("pairs_arm")
    @classmethod
    def _name_the_arm(cls, text: str) -> str:
        return PairsArm.parse(text).name

    @model_validator(mode="after")
    def _check_how_pairs_are_used(self) -> Self:
        for name in ("pairs_per_anchor", "partners", "graph_prior"):
            if getattr(self, name) and not PairsArm.parse(self.pairs_arm).reads_pairs:
                raise ValueError(f"{flag_name(name)} has no meaning with --pairs-arm none")
        if self.source is not None and self.pairs_arm != "none":
            raise ValueError(
                "--source has images and no pairs. Add --pairs-arm none, or train on the workspace without --source"
            )
        if self.pair_weight != 1.0 and not self.partners:
            raise ValueError(
                "--pair-weight belongs to --partners; pairs that are items of their own have equal weights"
            )
        if self.partners and not METHOD_DEFAULTS[self.method].pairwise:
            raise ValueError(
                f"--partners is not for {self.method}: its loss is of a whole batch and not of single pairs. Leave it at 0"
            )
        if self.partners and self.pairs_arm == "equal-steps":
            raise ValueError(
                "--partners and --pairs-arm equal-steps do not go together: partners take no steps of their own, so this arm "
                "would be `none`, with less work in each step. anchor-oversample takes as many partners, none takes no pairs"
            )
        if self.mask_known_positives and self.method not in CONTRASTIVE:
            raise ValueError(f"--mask-known-positives is for {', '.join(CONTRASTIVE)}: {self.method} has no negatives")
        return self
