"""Any model of timm by name, with the model's own data configuration."""

import math
from typing import Any

from torch import nn

from miner.embed.encoders.base import Encoder, EncoderRequest
from miner.errors import MinerError, UsageError
from miner.images.preprocess import RESAMPLING, Preprocess
from miner.learning.networks.weights import fetching, load_backbone_state

_MODES = ("center", "squash", "border")
_TIMM_POOLS = {"avg": "avg", "cls": "token", "max": "max"}


def timm_encoder(request: EncoderRequest) -> Encoder:
    """A timm model with its classifier removed (num_classes=0).

    Raises:
        UsageError: timm has no such model, or the model has no such pooling.
        MinerError: the weights cannot be fetched or do not fit, or the model needs more than resizing and a square crop.
    """
    import timm
    from timm.data.config import resolve_model_data_config

    name = request.model
    request.refuse_projector("timm publishes backbones and classifiers")
    if not name.startswith("hf-hub:") and not timm.is_model(name):
        close = timm.list_models(f"*{name.partition('.')[0]}*")[:3]
        hint = f"Did you mean timm:{' or timm:'.join(close)}?" if close else "timm.list_models() names them all."
        raise UsageError(f"timm has no model {name!r}. {hint}")
    with fetching(f"timm:{name}"):
        network = timm.create_model(name, pretrained=request.path is None and not request.random, num_classes=0)
    if request.path is not None and not request.random:
        load_backbone_state(network, request.path)
    preprocess = timm_preprocess(name, resolve_model_data_config(network))
    choose_timm_pool(network, request)
    return Encoder(
        request.name,
        network,
        preprocess,
        licence=str(vars(network)["pretrained_cfg"].get("license") or "see the model's page"),
        labels_seen="unknown; see the model's page",
    )


def timm_preprocess(name: str, config: dict[str, Any]) -> Preprocess:
    """The evaluation transform of `timm.data.create_transform` for the same configuration."""
    channels, height, crop = config["input_size"]
    known = channels == 3 and height == crop and config["crop_mode"] in _MODES and config["interpolation"] in RESAMPLING
    if not known:
        raise MinerError(
            f"timm:{name} needs a preprocessing that miner does not offer: {config}. It offers square RGB input, crop modes "
            f"{', '.join(_MODES)}, and interpolation {', '.join(RESAMPLING)}."
        )
    return Preprocess(
        math.floor(crop / config["crop_pct"]),
        crop,
        config["interpolation"],
        tuple(config["mean"]),
        tuple(config["std"]),
        config["crop_mode"],
    )


def choose_timm_pool(network: nn.Module, request: EncoderRequest) -> None:
    """Change the pooling through timm, which knows the model's prefix tokens, norms and memory formats.

    Raises:
        UsageError: the model has no such pooling.
    """
    if request.pool == "auto":
        return
    if request.pool == "cls" and not _has_class_token(network):
        request.refuse_pooling("it has no class token")
    try:
        network.reset_classifier(0, global_pool=_TIMM_POOLS[request.pool])  # type: ignore[operator]
    except (AssertionError, TypeError, ValueError, AttributeError) as error:
        request.refuse_pooling(f"timm cannot change its pooling ({' '.join(str(error).split())[:120]})")


def _has_class_token(network: nn.Module) -> bool:
    return getattr(network, "cls_token", None) is not None
