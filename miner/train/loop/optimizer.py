"""How gradients change the weights: the optimizer of a run, its schedules, and the longest gradient."""

from typing import Any

import torch
from torch import Tensor, nn

from miner.learning.schedule import cosine, cosine_between
from miner.train.data.batch import Batch
from miner.train.methods import Method
from miner.train.settings.options import TrainOptions
from miner.train.settings.plan import RunPlan

MOMENTUM = 0.9


class ScheduledOptimizer:
    """An optimizer whose learning rate and weight decay depend on the step.

    - sgd: torch's, momentum 0.9.
    - lars: timm's, momentum 0.9 (You et al. 2017, arXiv 1708.03888). It does not adapt the steps of parameters that do not
      decay, as in the authors' code of VICReg and Barlow Twins.
    - adamw: torch's, betas 0.9 and 0.999 (Loshchilov & Hutter 2019, arXiv 1711.05101).

    Args:
        method: whose parameters are updated.

    Attributes:
        optimizer: torch's. A checkpoint needs its state only, since learning rate and weight decay follow from the step.
        lrs: learning rate by step, float64 (steps,).
    """

    def __init__(self, plan: RunPlan, method: Method) -> None:
        options, decay = plan.options, plan.options.weight_decay
        final = decay if options.final_weight_decay is None else options.final_weight_decay
        self.lrs = cosine(plan.lr_peak, plan.steps, plan.warmup_steps)
        self._decays = cosine_between(decay, final, plan.steps)
        self._lr_peak, self._clip_norm = plan.lr_peak, options.clip_norm
        self._parameters = method.trainable()
        groups: list[dict[str, Any]] = []
        self._traits: list[tuple[bool, bool]] = []
        self._lr_share = 1.0 if options.lr_biases is None else options.lr_biases / options.lr
        for group in method.parameter_groups():
            for parameters, decays in _by_decay(group.parameters, options.decay_on):
                groups.append(
                    {"params": parameters, "weight_decay": decay if decays else 0.0, **_lars(options, decays)}
                )
                self._traits.append((group.constant_lr, decays))
        fused = self._parameters[0].device.type == "cuda"
        self.optimizer = _build(options.optimizer, groups, plan.lr_peak, fused)

    def prepare(self, step: int) -> None:
        """Forget the last gradients, and set the learning rate and the weight decay of a step."""
        self.optimizer.zero_grad()
        for (constant_lr, decays), state in zip(self._traits, self.optimizer.param_groups, strict=True):
            lr = self._lr_peak if constant_lr else float(self.lrs[step])
            state["lr"] = lr if decays else lr * self._lr_share
            state["weight_decay"] = float(self._decays[step]) if decays else 0.0

    def apply(self) -> dict[str, Tensor]:
        """Change the weights by the summed gradients.

        Returns:
            "grad_norm" if `--clip-norm` is given: the norm of all gradients together before they are shortened, float32 scalar.
        """
        norms = {}
        if self._clip_norm is not None:
            norms["grad_norm"] = nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
        self.optimizer.step()
        return norms


def sum_gradients(method: Method, batch: Batch, parts: int) -> dict[str, Tensor]:
    """Add the gradients of the mean loss of a batch to those of the parameters, part by part, to save memory.

    Each part is a batch by itself, with its own negatives, correlations and batch statistics. The running statistics of batch
    normalisation move with each part; momentum encoders, queues and centres move once.

    Args:
        method: the method, in train mode. Under autocast, the backward pass runs outside autocast, as torch recommends.
        parts: how many; a divisor of the batch.
    Returns:
        Means of the loss and the metrics over the parts, without graph.
    """
    outcomes = []
    for part in batch.split(parts):
        outcome = method(part)
        with torch.autocast(batch.first.device.type, enabled=False):
            (outcome["loss"] / parts).backward()
        outcomes.append({name: value.detach() for name, value in outcome.items()})
    return {name: torch.stack([outcome[name] for outcome in outcomes]).mean() for name in outcomes[0]}


def _by_decay(parameters: list[nn.Parameter], decay_on: str) -> list[tuple[list[nn.Parameter], bool]]:
    """Parameters that decay, and parameters that do not. Biases and the scales of normalisations have one dimension at most."""
    if decay_on == "all":
        return [(parameters, True)]
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    return [(part, decays) for part, decays in ((weights, True), (others, False)) if part]


def _lars(options: TrainOptions, decays: bool) -> dict[str, Any]:
    """The settings of a group of parameters that only timm's LARS knows."""
    if options.optimizer != "lars":
        return {}
    return {"always_adapt": decays, "trust_coeff": options.trust_coefficient, "trust_clip": options.trust_clip}


def _build(name: str, groups: list[dict[str, Any]], lr: float, fused: bool) -> torch.optim.Optimizer:
    """Fused: one kernel for all parameters, on a GPU. timm's LARS works on all parameters at once by itself."""
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, fused=fused)
    if name == "lars":
        from timm.optim.lars import Lars

        return Lars(groups, lr=lr, momentum=MOMENTUM)
    return torch.optim.SGD(groups, lr=lr, momentum=MOMENTUM, fused=fused)
