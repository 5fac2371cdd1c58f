"""One vector from a feature map or from tokens."""

from torch import Tensor, nn

from miner.embed.encoders.base import EncoderRequest
from miner.embed.options import Pool


def pooled(features: Tensor, pool: Pool) -> Tensor:
    """Pool features over space or over tokens.

    Args:
        features: float (n, channels, height, width), or tokens (n, tokens, channels). (n, channels) is returned unchanged.
        pool: avg or max; cls takes the first token; auto returns the features unchanged.
    """
    if features.ndim == 2 or pool == "auto":
        return features
    over = (2, 3) if features.ndim == 4 else (1,)
    if pool == "cls":
        return features[:, 0]
    return features.mean(over) if pool == "avg" else features.amax(over)


def choose_pool(network: nn.Module, request: EncoderRequest) -> None:
    """Change the pooling of a torchvision classifier in place.

    Raises:
        UsageError: the network has no single pooling layer before the classifier, or no class token.
    """
    if request.pool == "cls" and hasattr(network, "class_token"):
        return
    own = getattr(network, "avgpool", None)
    whole_map = isinstance(own, nn.AdaptiveAvgPool2d) and own.output_size in (1, (1, 1))
    if request.pool == "cls" or not whole_map:
        request.refuse_pooling("it gives no class token" if request.pool == "cls" else "it has one pooled output")
    elif request.pool == "max":
        network.avgpool = nn.AdaptiveMaxPool2d(1)
