"""From a plan to a method."""

from collections.abc import Callable
from pathlib import Path

from miner.learning.networks.backbones import build_backbone
from miner.learning.networks.batch_norm import synchronised
from miner.learning.networks.weights import load_backbone_state
from miner.learning.parallel.collectives import world_size
from miner.train.methods.barlow import BarlowTwins
from miner.train.methods.base import Method
from miner.train.methods.byol import BYOL
from miner.train.methods.contrastive.fnc import FNC
from miner.train.methods.contrastive.moco import MoCo
from miner.train.methods.contrastive.nnclr import NNCLR
from miner.train.methods.contrastive.patchmix import PatchMix
from miner.train.methods.contrastive.reco import ReCo
from miner.train.methods.contrastive.simclr import SimCLR
from miner.train.methods.dino import DINO
from miner.train.methods.graphnnclr import GraphNNCLR
from miner.train.methods.mnn import MNN
from miner.train.methods.simsiam import SimSiam
from miner.train.methods.vicreg import VICReg
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from miner.train.settings.plan import RunPlan

METHODS: dict[str, Callable[..., Method]] = {
    "moco": MoCo,
    "simclr": SimCLR,
    "simsiam": SimSiam,
    "byol": BYOL,
    "vicreg": VICReg,
    "barlow": BarlowTwins,
    "dino": DINO,
    "nnclr": NNCLR,
    "reco": ReCo,
    "fnc": FNC,
    "patchmix": PatchMix,
    "mnn": MNN,
    "graphnnclr": GraphNNCLR,
}


def build_method(plan: RunPlan, start: Path | None = None) -> Method:
    """The method of a plan before the first step, on the CPU.

    Args:
        start: weights for the backbone and its momentum encoder; None for random ones. Heads always start from random weights.
    Raises:
        MinerError: the weights do not fit the backbone.
    """
    backbone, width = build_backbone(plan.plain(), max(1, plan.norm_splits // world_size()))
    if start is not None:
        load_backbone_state(backbone, start)
    numbers = {name: getattr(plan, name) for name in METHOD_DEFAULTS[plan.options.method].plan_numbers}
    method = METHODS[plan.options.method](backbone, width, seed=plan.options.seed, **plan.settings, **numbers)
    return synchronised(method) if plan.norm_splits == 1 and world_size() > 1 else method
