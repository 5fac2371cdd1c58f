"""One vector from a feature map or from tokens."""

from torch import Tensor, nn

from miner.embed.encoders.base import EncoderRequest
from miner.embed.options import Pool


def pooled(features: Tensor, pool: Pool) -> Tensor:
    """Pool features over everything but images and channels.

    Args:
        features: float (n, channels, height, width), or tokens (n, tokens, channels); (n, channels) comes back as it is.
        pool: avg or max; cls takes the first token.
    """
    if features.ndim == 2 or pool == "auto":
        return features
    over = (2, 3) if features.ndim == 4 else (1,)
    if pool == "cls":
        return features[:, 0]
    return features.mean(over) if pool == "avg" else features.amax(over)


def choose_pool(network: nn.Module, request: EncoderRequest) -> None:
    """Change the pooling of a torchvision classifier in place, where it has a single pooling layer before the classifier.

    Raises:
        UsageError: it has none, or the pooling asked for does not exist there.
    """
    if request.pool == "cls" and hasattr(network, "class_token"):
        return
    own = getattr(network, "avgpool", None)
    whole_map = isinstance(own, nn.AdaptiveAvgPool2d) and own.output_size in (1, (1, 1))
    if request.pool == "cls" or not whole_map:
        request.refuse_pooling("it gives no class token" if request.pool == "cls" else "it has one pooled output")
    elif request.pool == "max":
        network.avgpool = nn.AdaptiveMaxPool2d(1)
