"""Any model of timm by name, with the model's own data configuration."""

import math
from pathlib import Path

from miner.embed.encoders.base import Encoder
from miner.embed.encoders.weights import fetching, load_backbone_state
from miner.embed.preprocess import RESAMPLING, Preprocess
from miner.errors import MinerError, UsageError


def timm_encoder(name: str, checkpoint: Path | None) -> Encoder:
    """A timm model with its classifier removed (num_classes=0).

    Raises:
        UsageError: timm has no such model.
        MinerError: the weights cannot be fetched or do not fit, or the model needs another preprocessing than
            resizing and a centre crop.
    """
    import timm
    from timm.data.config import resolve_model_data_config

    if not name.startswith("hf-hub:") and not timm.is_model(name):
        close = timm.list_models(f"*{name.partition('.')[0]}*")[:3]
        hint = f"Did you mean timm:{' or timm:'.join(close)}?" if close else "timm.list_models() names them all."
        raise UsageError(f"timm has no model {name!r}. {hint}")
    with fetching(f"timm:{name}"):
        network = timm.create_model(name, pretrained=checkpoint is None, num_classes=0)
    if checkpoint is not None:
        load_backbone_state(network, checkpoint)
    config = resolve_model_data_config(network)
    crop = config["input_size"][-1]
    if config["input_size"][-2] != crop or config["interpolation"] not in RESAMPLING or config["crop_mode"] != "center":
        raise MinerError(f"timm:{name} needs a preprocessing that miner does not offer: {config}.")
    return Encoder(
        f"timm:{name}",
        network,
        Preprocess(
            math.floor(crop / config["crop_pct"]),
            crop,
            config["interpolation"],
            tuple(config["mean"]),
            tuple(config["std"]),
        ),
        licence=str(vars(network)["pretrained_cfg"].get("license") or "see the model's page"),
        labels_seen="unknown; see the model's page",
    )
