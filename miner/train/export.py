"""The trained backbone as a file that other tools read."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from miner.engine import committed
from miner.errors import MinerError
from miner.train.backbones import build_backbone
from miner.workspace import Record, read_json, same_file

BACKBONE_FILE = "backbone.safetensors"
BEST_FILE = "backbone-best.safetensors"


@dataclass(frozen=True)
class TrainedBackbone:
    """A backbone in eval mode and how to feed it.

    Attributes:
        module: float32 (batch, 3, image_size, image_size), normalised -> float32 (batch, width), pooled features.
        image_size: in pixels.
        mean, std: of the channels, on the scale [0, 1].
        config: the run's config.yaml.
    """

    module: nn.Module
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    config: Record


def save_backbone(path: Path, backbone: nn.Module) -> None:
    """Write the weights and running statistics under torchvision's or timm's names, float32, atomically.

    They load strictly into the networks that `build_resnet` and `build_vit` name.
    """
    from safetensors.torch import save

    state = {name: value.detach().cpu().contiguous() for name, value in backbone.state_dict().items()}
    with committed(path) as partial:
        partial.write_bytes(save(state))


def load_backbone(run: Path, best: bool = False) -> TrainedBackbone:
    """The backbone of a finished run.

    Args:
        run: its folder.
        best: the weights with the best online kNN instead of the last.
    Raises:
        MinerError: the run has not finished, kept no best weights, or its weights are not those it wrote.
    """
    from safetensors.torch import load_file

    config = read_config(run)
    weights = run / (BEST_FILE if best else BACKBONE_FILE)
    _check(run, weights)
    module, _ = build_backbone(config)
    module.load_state_dict(load_file(weights), strict=True)
    return _described(module, config)


def starting_backbone(run: Path) -> TrainedBackbone:
    """The same backbone with the random weights that the run started from."""
    config = read_config(run)
    module, _ = build_backbone(config)
    return _described(module, config)


def read_config(run: Path) -> Record:
    """The resolved options of a run, from config.yaml.

    Raises:
        MinerError: it is missing or damaged.
    """
    import yaml

    try:
        config = yaml.safe_load((run / "config.yaml").read_text())
    except (OSError, yaml.YAMLError) as error:
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


def _check(run: Path, weights: Path) -> None:
    manifest = read_json(run / "manifest.json")
    if manifest is None:
        raise MinerError(
            f"The run {run.name} has not finished. Run the same `miner train` command again; it continues."
        )
    if weights.name == BEST_FILE and BEST_FILE not in manifest["files"]:
        raise MinerError(f"The run {run.name} kept no best weights: it was trained without --knn-epochs.")
    if not same_file(weights, manifest["files"].get(weights.name)):
        raise MinerError(f"{weights} is missing or damaged. Train again with --force.")
