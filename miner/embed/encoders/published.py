"""Self-supervised ResNet-50s that their authors publish as state dicts, in torchvision's architecture.

The authors' hub entries run code from their repositories; this module reads tensors only. The preprocessing is that of the
authors' linear or nearest-neighbour evaluation: short side 256, centre crop 224, mean and standard deviation of ImageNet.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from miner.embed.encoders.base import Encoder, EncoderRequest
from miner.embed.encoders.pooling import choose_pool
from miner.embed.encoders.resnets import headless_resnet
from miner.engine import cache_lock, committed
from miner.errors import MinerError
from miner.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from miner.learning.networks.heads import mlp_head
from miner.learning.networks.weights import fetching, fit_state, load_state


@dataclass(frozen=True)
class Published:
    """Weights that their authors publish.

    Attributes:
        paper: that describes the training.
        licence: the licence of the repository that publishes the file.
        interpolation: the interpolation of the authors' evaluation.
        head: prefix of the projector's names in the file; "" if the file has no projector.
    """

    url: str
    paper: str
    licence: str
    interpolation: str = "bilinear"
    head: str = ""


_HOST = "https://dl.fbaipublicfiles.com"
PUBLISHED = {
    "dino_resnet50": Published(
        f"{_HOST}/dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth",
        "Caron et al. 2021, arXiv 2104.14294",
        "Apache-2.0",
        "bicubic",
    ),
    "vicreg_resnet50": Published(f"{_HOST}/vicreg/resnet50.pth", "Bardes et al. 2022, arXiv 2105.04906", "MIT"),
    "swav_resnet50": Published(
        f"{_HOST}/deepcluster/swav_800ep_pretrain.pth.tar",
        "Caron et al. 2020, arXiv 2006.09882",
        "CC-BY-NC-4.0",
        head="projection_head.",
    ),
    "barlow_resnet50": Published(
        f"{_HOST}/barlowtwins/ljng/resnet50.pth", "Zbontar et al. 2021, arXiv 2103.03230", "MIT"
    ),
}


def published_encoder(request: EncoderRequest) -> Encoder:
    """2048-d features, or the 128-d output of SwAV's projector.

    Raises:
        UsageError: a projector was asked for that the authors do not publish.
        MinerError: the file cannot be fetched, holds more than tensors, or holds another network.
    """
    about = PUBLISHED[request.model]
    if not about.head:
        request.refuse_projector("its authors publish the backbone alone")
    backbone = headless_resnet("resnet50")
    network: nn.Module = backbone
    if request.random:
        request.refuse_projector("its random weights are those of the backbone")
    else:
        path = request.path or _fetched(request.model, about)
        state, origin = load_state(path), f"The checkpoint {path}"
        fit_state(backbone, state, origin)
    if request.layer == "projector":
        request.refuse_pooling("the projector was trained on averaged features")
        head = {name.removeprefix(about.head): value for name, value in state.items() if name.startswith(about.head)}
        network = nn.Sequential(backbone, mlp_head(head, origin))
    else:
        choose_pool(backbone, request)
    return Encoder(
        request.name,
        network,
        Preprocess(256, 224, about.interpolation, IMAGENET_MEAN, IMAGENET_STD),
        licence=about.licence,
        labels_seen=f"none (ImageNet-1k images without labels; {about.paper})",
    )


def _fetched(name: str, about: Published) -> Path:
    """The file in the cache. A fetched file is kept only if it loads as plain tensors."""
    from miner.source.named.builtin import cache_folder

    target = cache_folder() / "encoders" / f"{name}.pth"
    if target.exists():
        return target
    with cache_lock(target.parent):
        if not target.exists():  # another process may have fetched it
            _fetch(name, about, target)
    return target


def _fetch(name: str, about: Published, target: Path) -> None:
    with fetching(name), committed(target) as partial:
        print(f"{name}: fetching {about.url} (once)", file=sys.stderr, flush=True)
        torch.hub.download_url_to_file(about.url, str(partial), progress=sys.stderr.isatty())
        try:
            load_state(partial)
        except MinerError as error:
            raise MinerError(
                f"What {about.url} gave is no checkpoint of plain tensors, so nothing was kept. Try again, or fetch the "
                f"file elsewhere and name {name}@FILE."
            ) from error
