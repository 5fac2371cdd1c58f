"""The trained networks of a run: files that torchvision, timm and other tools read."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from miner.artifacts.runs.manifest import BACKBONE_FILE, BEST_FILE, PROJECTOR_FILE, TEACHER_FILE, RunManifest
from miner.engine import Record, write_json
from miner.errors import MinerError
from miner.learning.networks.backbones import build_backbone
from miner.learning.networks.heads import mlp_head
from miner.learning.networks.weights import read_plain, save_weights
from miner.learning.randomness import seeded

_STEMS: dict[str, dict[str, Any]] = {
    "imagenet": {
        "conv1": {"out_channels": 64, "kernel_size": 7, "stride": 2, "padding": 3, "bias": False},
        "maxpool": {"kernel_size": 3, "stride": 2, "padding": 1},
    },
    "cifar": {
        "conv1": {"out_channels": 64, "kernel_size": 3, "stride": 1, "padding": 1, "bias": False},
        "maxpool": None,
    },
}
_WHY_MISSING = {
    BEST_FILE: "best weights: it was trained without --knn-epochs",
    TEACHER_FILE: "teacher: only --method dino, graphnnclr and patchmix do (not with --momentum 0), and older runs of dino did not",
}
_ACTIVATIONS = {"ReLU": nn.ReLU, "GELU": nn.GELU}


@dataclass(frozen=True)
class TrainedBackbone:
    """A backbone in eval mode, and the images that it takes.

    Attributes:
        module: float32 (batch, 3, image_size, image_size), normalised -> float32 (batch, width), pooled features.
        mean, std: the mean and standard deviation of the channels, on the scale [0, 1].
        config: the run's config.yaml.
    """

    module: nn.Module
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    config: Record


def save_projector(path: Path, projector: nn.Sequential) -> None:
    """Write a projector: its layers by index, and in the header the activation between them."""
    used = {type(layer).__name__ for layer in projector} & _ACTIVATIONS.keys()
    save_weights(path, projector, {"activation": "".join(sorted(used)) or "ReLU"})


def load_projector(run: Path, random: bool = False) -> nn.Sequential | None:
    """The projector of a finished run, in train mode; None if the method has none.

    Args:
        random: give it the random weights of the run's seed.
    Raises:
        MinerError: the run has not finished, or its projector is not the one it wrote.
    """
    made = RunManifest.read(run)
    if PROJECTOR_FILE not in made.files:
        return None
    path = made.checked(run, PROJECTOR_FILE)
    state, content = read_plain(path), path.read_bytes()
    (header_bytes,) = struct.unpack("<Q", content[:8])
    activation = _ACTIVATIONS[json.loads(content[8 : 8 + header_bytes])["__metadata__"]["activation"]]
    projector = mlp_head(state, f"The projector of {run}", activation)
    if random:
        with seeded(read_config(run)["seed"], "head"):
            for layer in projector:
                if isinstance(layer, nn.Linear | nn.BatchNorm1d):
                    layer.reset_parameters()
    return projector


def save_description(path: Path, config: Record) -> None:
    """Write config.json: the architecture of the backbone and the images that it takes, in timm's words.

    `timm.create_model(architecture, num_classes=0, **model_args)` takes the weights strictly, and so does
    `torchvision.models.get_model(architecture)` with `fc = Identity()`. Where the stem is not the usual one, put in `conv1`
    and `maxpool` as `stem` describes them (null is Identity).
    """
    _, width = build_backbone(config)
    size = [3, config["image_size"], config["image_size"]]
    if "patch_size" in config:
        name = f"{config['backbone']}_patch16_224"
        heads = {"num_heads": config["attention_heads"]} if "attention_heads" in config else {}
        own: Record = {"model_args": {"img_size": config["image_size"], "patch_size": config["patch_size"], **heads}}
        pool = "token"
    else:
        name, own, pool = config["backbone"], {"stem": {"name": config["stem"], **_STEMS[config["stem"]]}}, "avg"
    fed = {"input_size": size, "mean": list(config["mean"]), "std": list(config["std"]), "num_classes": 0}
    write_json(
        path,
        {
            "architecture": name,
            "num_classes": 0,
            "num_features": width,
            "global_pool": pool,
            **own,
            "pretrained_cfg": {**fed, "interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center"},
        },
    )


def load_backbone(run: Path, name: str = BACKBONE_FILE) -> TrainedBackbone:
    """The backbone of a finished run: `BACKBONE_FILE` for its last weights, `BEST_FILE` for the best online kNN, or `TEACHER_FILE`.

    Raises:
        MinerError: the run has not finished, kept no such weights, or its weights are not those it wrote.
    """
    config = read_config(run)
    made = check_kept(run, name)
    if "config.yaml" in made.files:
        made.checked(run, "config.yaml")
    weights = made.checked(run, name)
    module, _ = build_backbone(config)
    module.load_state_dict(read_plain(weights), strict=True)
    return _described(module, config)


def check_kept(run: Path, name: str) -> RunManifest:
    """The manifest of a finished run that kept the weights of this name.

    Raises:
        MinerError: the run has not finished, or kept no such weights.
    """
    made = RunManifest.read(run)
    if name in _WHY_MISSING and name not in made.files:
        raise MinerError(f"The run {run.name} kept no {_WHY_MISSING[name]}.")
    return made


def starting_backbone(run: Path) -> TrainedBackbone:
    """The backbone of a run with the random weights of the run's seed. A run starts from them unless it has `--init-from`."""
    config = read_config(run)
    module, _ = build_backbone(config)
    return _described(module, config)


def read_config(run: Path) -> Record:
    """The resolved options of a run, from config.yaml.

    Raises:
        MinerError: it is missing or damaged.
    """
    try:
        config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise MinerError(f"{run}/config.yaml is missing or damaged. Train again with --force.") from error
    if (
        not isinstance(config, dict)
        or not {"backbone", "seed", "image_size", "mean", "std", "source"} <= config.keys()
        or not {"stem", "patch_size"} & config.keys()
    ):
        raise MinerError(f"{run}/config.yaml does not describe a run. Train again with --force.")
    return config


def _described(module: nn.Module, config: Record) -> TrainedBackbone:
    module.eval().requires_grad_(False)
    return TrainedBackbone(module, int(config["image_size"]), tuple(config["mean"]), tuple(config["std"]), config)
