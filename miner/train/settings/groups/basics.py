"""Method, network and length of a run."""

from typing import Literal, Self

from pydantic import model_validator

from miner.options import Options, option
from miner.train.settings.method_defaults import METHOD_DEFAULTS

_VIT_WIDTHS = {"vit_tiny": 192, "vit_small": 384, "vit_base": 768}
_METHODS = " ".join(f"{name}: {defaults.summary}." for name, defaults in METHOD_DEFAULTS.items())


class BasicOptions(Options):
    """Options that the checks of all other groups read."""

    panel = "basics"

    method: Literal[
        "moco",
        "simclr",
        "simsiam",
        "byol",
        "vicreg",
        "barlow",
        "dino",
        "nnclr",
        "patchmix",
        "reco",
        "fnc",
        "mnn",
        "graphnnclr",
    ] = option("moco", note=_METHODS)
    """Self-supervised method."""
    name: str | None = option(None, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$", decides_result=False)
    """Name of the run (letters, digits, . _ -). If not given: the name of the method."""
    epochs: int = option(100, ge=1, short="-e")
    """Passes over the training items. An item is an image with itself, or a mined pair."""
    batch_size: int = option(256, ge=2, short="-b")
    """Items per step. For few images the run takes fewer, and prints how many."""
    backbone: Literal["resnet18", "resnet34", "resnet50", "vit_tiny", "vit_small", "vit_base"] = option("resnet18")
    """Encoder to pretrain. A ResNet learns faster from small data. A ViT (of timm; its features are the class token) needs
    --optimizer adamw, warm-up and many epochs."""
    stem: Literal["auto", "cifar", "imagenet"] = option("auto")
    """First layers of a ResNet: cifar (3x3, no pooling) or imagenet (7x7 and pooling). auto: cifar up to 64 px, imagenet
    above."""
    patch_size: int | None = option(None, ge=1)
    """Side in pixels of a ViT's patches. If not given: the power of two that makes 8 x 8 patches or more, at most 16 (4 at 32
    px, 16 at 224 px). Half the side makes four times the tokens and more than four times the work."""
    attention_heads: int | None = option(None, ge=1, panel="expert", shown_default="3, 6 or 12")
    """Heads of attention of a ViT, a divisor of its width. If not given: those of timm, 3, 6 and 12 for vit_tiny, vit_small and
    vit_base. The authors of MoCo v3 and PatchMix take 12 for vit_small."""
    drop_path: float = option(0.0, ge=0, lt=1, panel="expert")
    """Stochastic depth of a ViT: the share of images that skip the last block. DINO uses 0.1."""
    zero_init_residual: bool = option(False, panel="expert", decides_result="if changed")
    """Residual branches of a ResNet start at zero, as the authors of SimSiam, VICReg and Barlow Twins have them on ImageNet."""
    image_size: int | None = option(None, ge=16)
    """Side of a training view in pixels. If not given: the one of 32, 64, 96, 128 and 224 that is nearest to the
    typical short side of the images."""
    init_from: str | None = option(None, metavar="RUN")
    """Start from the backbone of a finished run (its name or folder), or of a file (.safetensors, .pt). Heads and schedule
    start anew. To continue an interrupted run, give the command of that run again instead."""
    source: str | None = option(None, decides_result=False)
    """Train on the images of a source, as `miner embed` takes it, without embeddings. --pairs-arm none is needed. The
    network of such a run has seen no label and no other image, so you can use it as the encoder of `miner embed`."""
    limit: int | None = option(None, ge=2)
    """Train only on this many images, the first ones, and on the pairs among them."""
    knn_epochs: int = option(0, ge=0)
    """Measure the kNN accuracy of labelled images after every so many epochs, and at the end. 0: never. Each time costs a
    forward pass over the images; 10 is a good start. backbone-best.safetensors keeps the best weights. The best accuracy is
    optimistic, because it is chosen on the images that measure it. Report the accuracy of the last epoch."""
    seed: int = option(0)
    """Seed of the weights, of the order of the items, and of the augmentations."""

    @property
    def run_name(self) -> str:
        """The name of the run."""
        return self.name or self.method

    @property
    def is_vit(self) -> bool:
        """Whether the backbone is a vision transformer."""
        return self.backbone.startswith("vit_")

    @model_validator(mode="after")
    def _fit_the_backbone(self) -> Self:
        if self.is_vit and self.stem != "auto":
            raise ValueError(f"--stem belongs to ResNets; {self.backbone} takes --patch-size")
        if not self.is_vit and (self.patch_size or self.drop_path or self.attention_heads):
            raise ValueError(
                f"--patch-size, --attention-heads and --drop-path belong to ViTs; {self.backbone} takes --stem"
            )
        if self.attention_heads and (width := _VIT_WIDTHS[self.backbone]) % self.attention_heads:
            raise ValueError(f"--attention-heads must divide the width of {self.backbone}, {width}")
        if self.is_vit and self.zero_init_residual:
            raise ValueError(f"--zero-init-residual belongs to ResNets; {self.backbone} has no such branches")
        return self
