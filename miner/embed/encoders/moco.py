"""Checkpoints of the official MoCo code (He et al. 2020, arXiv 1911.05722; v2 Chen et al. 2020, arXiv 2003.04297).

SePP-ID mines its pairs with a MoCo v2 encoder and its projector: `moco:FILE` with `--layer projector`.
"""

from torch import nn

from miner.embed.encoders.base import Encoder, EncoderRequest
from miner.embed.encoders.pooling import choose_pool
from miner.embed.encoders.resnets import headless_resnet, which_resnet
from miner.errors import MinerError
from miner.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from miner.learning.networks.heads import mlp_head
from miner.learning.networks.weights import State, fit_state, load_state

# Names of the query encoder in v1 and v2, and in v3.
_QUERY_ENCODERS = ("encoder_q.", "base_encoder.")


def moco_encoder(request: EncoderRequest) -> Encoder:
    """The query encoder: the backbone's pooled features, or the output of its head `fc`.

    The shapes of the tensors give the architecture. The preprocessing is that of the authors' linear classification.

    Raises:
        MinerError: the file is no checkpoint of MoCo.
    """
    assert request.path is not None
    origin = f"The checkpoint {request.path}"
    state = _query_encoder(load_state(request.path), origin)
    backbone = headless_resnet(which_resnet(state, origin))
    if request.random:
        request.refuse_projector("its random weights are those of the backbone")
    else:
        fit_state(backbone, state, origin)
    network: nn.Module = backbone
    if request.layer == "projector":
        request.refuse_pooling("the projector was trained on averaged features")
        head = {name.removeprefix("fc."): value for name, value in state.items() if name.startswith("fc.")}
        network = nn.Sequential(backbone, mlp_head(head, origin))
    else:
        choose_pool(backbone, request)
    return Encoder(
        request.name,
        network,
        Preprocess(256, 224, "bilinear", IMAGENET_MEAN, IMAGENET_STD),
        licence="see the checkpoint",
        labels_seen="none (momentum contrast)",
    )


def _query_encoder(state: State, origin: str) -> State:
    for prefix in _QUERY_ENCODERS:
        found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        if found:
            return found
    some = ", ".join(sorted(state)[:3])
    raise MinerError(
        f"{origin} is no checkpoint of MoCo: it has no encoder_q (it holds {some or 'no tensors'}). A plain state dict is "
        "read with --encoder resnet50@FILE."
    )
