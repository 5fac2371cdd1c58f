"""How weights are updated."""

from typing import Literal, Self

from pydantic import model_validator

from miner.options import option
from miner.train.settings.groups.basics import BasicOptions
from miner.train.settings.method_defaults import METHOD_DEFAULTS, OPTIMIZER_DEFAULTS, defaults_of


def _by_optimizer(name: str) -> str:
    return "; ".join(f"{own[name]} with {optimizer}" for optimizer, own in OPTIMIZER_DEFAULTS.items() if name in own)


class OptimizerOptions(BasicOptions):
    """The options on the optimizer."""

    panel = "optimizer"

    optimizer: Literal["sgd", "lars", "adamw"] = option("sgd")
    """sgd suits residual networks. lars keeps batches of 1,024 and more stable. adamw is for transformers. lars and adamw have
    their own defaults of learning rate and weight decay, and work best with --warmup-epochs 10."""
    lr: float = option(METHOD_DEFAULTS["moco"].lr, gt=0, shown_default=f"{defaults_of('lr')}; {_by_optimizer('lr')}")
    """Learning rate at batch 256; the run uses lr x batch / 256. If the loss diverges, try a third of this rate."""
    lr_biases: float | None = option(None, gt=0, panel="expert", decides_result="if changed")
    """Learning rate at batch 256 of biases and normalisations, with --decay-on weights; it follows the schedule of --lr. If not
    given: --lr. The code of Barlow Twins takes 0.0048 beside 0.2."""
    warmup_epochs: int = option(0, ge=0)
    """Epochs in which the learning rate rises to its peak before it falls along a cosine."""
    weight_decay: float = option(5e-4, ge=0, shown_default=_by_optimizer("weight_decay"))
    """Weight decay."""
    final_weight_decay: float | None = option(None, ge=0)
    """Value that the weight decay moves to along a cosine; dino takes 0.4 for transformers."""
    decay_on: Literal["all", "weights"] = option("all", panel="expert", shown_default=_by_optimizer("decay_on"))
    """all: every parameter decays. weights: biases and normalisations do not decay, and lars does not adapt their steps."""
    trust_coefficient: float | None = option(
        None, gt=0, panel="expert", shown_default=_by_optimizer("trust_coefficient")
    )
    """lars: the ratio of the norm of a step, before the learning rate multiplies it, to the norm of the weight.
    solo-learn takes 0.02 with --trust-clip."""
    trust_clip: bool = option(False, panel="expert")
    """lars: limit the learning rate of each weight to --lr. Use this flag with a large --trust-coefficient."""
    clip_norm: float | None = option(None, gt=0)
    """Scale the gradient down to this norm, taken over all parameters, if its norm is larger. 3 suits transformers."""
    accumulate: int = option(1, ge=1)
    """Parts of a step that are computed one after another, when a batch does not fit into memory. Negatives and batch
    statistics are those of a part, so methods that need large batches gain little."""

    @model_validator(mode="after")
    def _fit_the_optimizer(self) -> Self:
        if self.optimizer != "lars" and (self.trust_coefficient or self.trust_clip):
            raise ValueError("--trust-coefficient and --trust-clip belong to --optimizer lars")
        if self.lr_biases is not None and self.decay_on != "weights":
            raise ValueError("--lr-biases needs --decay-on weights, which sets biases and normalisations apart")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"--warmup-epochs {self.warmup_epochs} must be below --epochs {self.epochs}")
        return self
