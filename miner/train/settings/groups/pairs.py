"""Which pairs are trained on, and how."""

from typing import Any, Literal, Self

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
    pairs_per_class: int | None = option(None, ge=1, decides_result="if changed")
    """Instead of the mined pairs, take this many random pairs of each class, no image in two of them: a stand-in for pairs that
    people curate (uses labels). With --source, nothing needs to be embedded."""
    partners: int = option(0, ge=0)
    """Partners of an image that join its own two views in one step, as further positives, drawn anew each epoch. 0 makes each
    pair an item of its own: more steps, each of the usual size."""
    pair_weight: float = option(1.0, gt=0)
    """Weight of each of the --partners in the loss, against 1 of the own view. Below 1 if many pairs are wrong."""
    pair_weights: Literal["uniform", "similarity", "score", "votes"] = option("uniform", decides_result="if changed")
    """Draw good pairs more often: by the rank of their similarity, of the score of the rule that chose them, or of the votes of
    `miner pairs --agree`. The best pair comes twice per epoch, the middle one once, the worst hardly ever. uniform: each pair
    once."""
    pair_loss: Literal["infonce", "rince"] = option(
        "infonce", decides_result="if changed", note=f"rince is for {', '.join(CONTRASTIVE)}."
    )
    """Loss of the --partners. rince: a partner that is not similar to its image pulls less, since the pair may be wrong."""
    pair_loss_q: float = option(0.5, gt=0, le=1, panel="expert", decides_result="if changed")
    """rince: how much less such a partner pulls. Near 0 it is infonce; its authors take 0.1 to 0.6."""
    pair_loss_lambda: float = option(0.025, gt=0, le=1, panel="expert", decides_result="if changed")
    """rince: weight of the negatives. Its authors take 0.01 to 0.025."""
    mask_known_positives: bool = option(False, note=f"It is an option of {', '.join(CONTRASTIVE)}.")
    """Leave out of the negatives of an image its other views, its older keys in the queue, and its partners. Try it if the queue
    or the batch holds a large share of all images."""
    graph_prior: bool | None = option(None)
    """graphnnclr: use the pairs as known neighbours from the first epoch on, instead of as items of their own."""

    @property
    def arm(self) -> PairsArm:
        """What the run trains on besides own views, or instead of them."""
        return PairsArm.parse(self.pairs_arm)

    @property
    def reads_pairs(self) -> bool:
        """Whether the run needs mined pairs, or at least their number."""
        return self.arm.reads_pairs and self.pairs_per_class is None

    @property
    def uses_labels(self) -> bool:
        """Whether pairs are drawn by label."""
        return self.arm.uses_labels or self.pairs_per_class is not None

    @property
    def rince(self) -> tuple[float, float] | None:
        """q and lambda of the robust loss of partners; None for InfoNCE."""
        return (self.pair_loss_q, self.pair_loss_lambda) if self.pair_loss == "rince" else None

    @property
    def pairs_are_items(self) -> bool:
        """Whether a pair is trained on as an item of its own."""
        return not (self.partners or self.graph_prior)

    @field_validator("pairs_arm")
    @classmethod
    def _name_the_arm(cls, text: str) -> str:
        return PairsArm.parse(text).name

    @model_validator(mode="before")
    @classmethod
    def _mask_partners(cls, values: Any) -> Any:
        masks = isinstance(values, dict) and values.get("pairs_arm") == "mask-only"
        return {"mask_known_positives": True, **values} if masks else values

    @model_validator(mode="after")
    def _check_how_pairs_are_used(self) -> Self:
        for name in ("pairs_per_anchor", "pairs_per_class", "partners", "graph_prior"):
            if getattr(self, name) and not self.arm.reads_pairs:
                raise ValueError(f"{flag_name(name)} has no meaning with --pairs-arm none")
        if self.source is not None and self.reads_pairs:
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
        if (self.partners or self.graph_prior) and (self.arm.alone or self.pairs_arm == "mask-only"):
            raise ValueError(
                f"--partners and --graph-prior need pairs beside own views; with --pairs-arm {self.pairs_arm} there are none"
            )
        self._check_weights_and_loss()
        if self.pairs_arm == "mask-only" and not self.mask_known_positives:
            raise ValueError(
                "--pairs-arm mask-only is --mask-known-positives without pairs as positives; do not turn it off"
            )
        if self.mask_known_positives and self.method not in CONTRASTIVE:
            raise ValueError(f"--mask-known-positives is for {', '.join(CONTRASTIVE)}: {self.method} has no negatives")
        return self

    def _check_weights_and_loss(self) -> None:
        for name in ("pairs_per_anchor", "pair_weights"):
            if self.pairs_per_class and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{flag_name(name)} is about mined pairs, and --pairs-per-class takes others")
        if self.pair_weights != "uniform" and (self.pairs_arm in ("none", "mask-only") or self.graph_prior):
            raise ValueError(
                "--pair-weights needs pairs that are drawn; --pairs-arm none or mask-only and --graph-prior draw none"
            )
        if self.rince and not self.partners:
            raise ValueError(
                "--pair-loss rince is the loss of --partners; pairs that are items of their own have that of own views"
            )
        if self.rince and self.method not in CONTRASTIVE:
            raise ValueError(
                f"--pair-loss rince is for {', '.join(CONTRASTIVE)}: {self.method} does not contrast its pairs"
            )
        for name in ("pair_loss_q", "pair_loss_lambda"):
            if not self.rince and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{flag_name(name)} belongs to --pair-loss rince")
