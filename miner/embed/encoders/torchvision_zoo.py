"""Any classification model of torchvision, with the evaluation transform of its weights."""

import difflib
from typing import Any

from torch import nn

from miner.embed.encoder_name import FAMILIES_HELP, OF_A_FAMILY
from miner.embed.encoders import efficientnet_lite
from miner.embed.encoders.base import Encoder, EncoderRequest
from miner.embed.encoders.pooling import choose_pool
from miner.embed.encoders.published import PUBLISHED
from miner.errors import UsageError
from miner.images.preprocess import Preprocess
from miner.learning.networks.weights import fetching, load_backbone_state
from miner.text import counted


def torchvision_encoder(request: EncoderRequest) -> Encoder:
    """A torchvision classifier without its classifier layer.

    `resnet50` takes the default weights, `resnet50:IMAGENET1K_V1` a member of the enumeration. The preprocessing is that of the
    same member, even if a local file gives the weights.

    Raises:
        UsageError: torchvision has no such classifier or weights, or the preprocessing is not a resize and a crop.
        MinerError: the weights cannot be fetched or do not fit.
    """
    architecture, _, member = request.model.partition(":")
    weights = _weights(architecture, member)
    request.refuse_projector("it was trained as a classifier")
    preprocess = torchvision_preprocess(weights)
    if request.random:
        network = remove_classifier(_network(architecture, None))
    elif request.path is None:
        with fetching(request.model):
            network = remove_classifier(_network(architecture, weights))
    else:
        network = remove_classifier(_network(architecture, None))
        load_backbone_state(network, request.path)
    choose_pool(network, request)
    return Encoder(
        request.name,
        network,
        preprocess,
        licence="see the checkpoint" if request.path else weights.meta.get("license", "see torchvision's model page"),
        labels_seen="unknown (local checkpoint)"
        if request.path
        else f"{counted(len(weights.meta['categories']), 'class')} ({weights})",
    )


def _weights(architecture: str, member: str) -> Any:
    """The enumeration member of an architecture, or its default."""
    from torchvision import models

    classifiers = models.list_models(module=models)
    if architecture not in classifiers:
        if architecture in models.list_models():
            raise UsageError(
                f"{architecture} of torchvision is no float classifier of single images, so it has no vector per image to "
                f"give. {FAMILIES_HELP}"
            )
        close = _similar_names(architecture, [*efficientnet_lite.NAMES, *PUBLISHED, *classifiers])
        hint = f"Did you mean {' or '.join(close)}? " if close else ""
        raise UsageError(
            f"Unknown encoder {architecture!r}. {hint}{FAMILIES_HELP} `miner encoders` lists some with their facts."
        )
    members = models.get_model_weights(architecture)
    if not member:
        return members.DEFAULT
    if member not in members.__members__:
        raise UsageError(f"{architecture} has no weights {member!r}. There are: {', '.join(members.__members__)}.")
    return members[member]


def _similar_names(name: str, names: list[str]) -> list[str]:
    """Up to three encoders that the name could mean: of its family, spelt alike, or of timm."""
    word = name.lower().replace("_", "").replace("-", "")
    if family := next((family for family in OF_A_FAMILY if family in word), None):
        return [OF_A_FAMILY[family]]
    if close := difflib.get_close_matches(name, names, n=3):
        return close
    import timm

    return [f"timm:{found}" for found in timm.list_pretrained(f"*{name.lower()}*")[:3]]


def torchvision_preprocess(weights: Any) -> Preprocess:
    """The transform of the weights.

    Raises:
        UsageError: the transform is not resize, centre crop and normalise.
    """
    from torchvision.transforms._presets import ImageClassification

    transform = weights.transforms()
    if not isinstance(transform, ImageClassification) or len(transform.resize_size) != 1 or not transform.antialias:
        raise UsageError(
            f"{weights} needs {' '.join(repr(transform).split())}, which is not a resize of the short side and a centre "
            "crop; miner offers nothing else for torchvision's models."
        )
    return Preprocess(
        transform.resize_size[0],
        transform.crop_size[0],
        transform.interpolation.value,
        tuple(transform.mean),
        tuple(transform.std),
    )


def _network(architecture: str, weights: Any) -> nn.Module:
    """The network; with random weights if `weights` is None."""
    from torchvision import models

    options: dict[str, Any] = {}
    if weights is None and architecture in ("googlenet", "inception_v3"):
        # As the published weights need it: the network changes the normalisation, and evaluation has no auxiliary heads.
        options = {"aux_logits": False, "transform_input": True, "init_weights": False}
    network: Any = models.get_model(architecture, weights=weights, **options)
    if architecture == "inception_v3":
        network.AuxLogits = None
    return network  # type: ignore[no-any-return]


def remove_classifier(network: nn.Module) -> nn.Module:
    """Replace the classifier by the identity: the last linear layer, or the last convolution (SqueezeNet)."""
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    convolutions = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    parent, _, child = (linear or convolutions)[-1].rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())
    return network
