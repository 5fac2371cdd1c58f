"""The parts of an encoder's name, and what of an encoder belongs to a request. Imports no torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from miner.embed.onnx_data import external_files
from miner.embed.options import EmbedOptions
from miner.engine import file_record
from miner.machine.memory import refuse_large_network

FAMILIES = ("timm", "moco", "run", "onnx", "script")
FAMILIES_HELP = (
    "Encoders are efficientnet_lite0, efficientnet_lite1 and efficientnet_lite2; torchvision's classifiers, as resnet50 or "
    "resnet50:IMAGENET1K_V1; timm:NAME; dino_resnet50, vicreg_resnet50, swav_resnet50 and barlow_resnet50; moco:FILE; "
    "run:FOLDER of `miner train`, run:FOLDER/backbone-best.safetensors or run:FOLDER/teacher.safetensors; and onnx:FILE. "
    "random: before a name takes the architecture with random weights."
)
# What most people mean by the name of a family.
OF_A_FAMILY = {
    "dinov2": "timm:vit_small_patch14_dinov2.lvd142m",
    "dinov3": "timm:vit_small_patch16_dinov3.lvd1689m",
    "siglip": "timm:vit_base_patch16_siglip_224.webli",
    "clip": "timm:vit_base_patch16_clip_224.openai",
}
# Version of the numerics. Increase it whenever the same options would produce different vectors, so that old runs are not
# resumed with new arithmetic.
# 2: batch norms are folded, the first half of EfficientNet-Lite stays float32, and a CPU encodes 4 images at a time.
# 3: a CPU encodes 16 images at a time.
# 4: bfloat16 comes with the fast resize.
ARITHMETIC = 4
_WEIGHTS_OF_A_RUN = ("backbone.safetensors", "projector.safetensors", "teacher.safetensors")
CONFIG_OF_A_RUN = "config.yaml"
# Weights of a run that are named by their file; the folder alone means the last weights of the student.
BEST_OF_A_RUN, TEACHER_OF_A_RUN = "backbone-best.safetensors", "teacher.safetensors"
OTHERS_OF_A_RUN = (BEST_OF_A_RUN, TEACHER_OF_A_RUN)
_RANDOM = "random:"


@dataclass(frozen=True)
class EncoderName:
    """The parts of an encoder's name.

    Attributes:
        family: one of `FAMILIES`, or "" for a name of its own (`efficientnet_lite0`, `resnet50`, `dino_resnet50`).
        model: the name after the family; "" if a path stands there.
        path: the file after `@`, or the file or folder after the family.
        random: whether the weights are random, and only the architecture and the preprocessing are those of the name.
    """

    family: str
    model: str
    path: Path | None
    random: bool = False

    @property
    def files(self) -> list[Path]:
        """The local files that decide the vectors and exist: weights, and what lies beside them (data of ONNX, a config)."""
        if self.path is None:
            return []
        files = [self.path]
        if self.family == "run":
            weights = (
                [self.path] if self.path.name in OTHERS_OF_A_RUN else [self.path / name for name in _WEIGHTS_OF_A_RUN]
            )
            files = [file for file in weights if file.is_file()]
            files += [files[0].with_name(CONFIG_OF_A_RUN)] if files else []
        elif self.family == "onnx":
            files += [self.path.with_name(f"{self.path.name}.{kind}") for kind in ("data", "json")]
            files += external_files(self.path) if self.path.is_file() else []
        return [file for file in dict.fromkeys(files) if file.is_file()]


def parse_encoder(name: str) -> EncoderName:
    """`MODEL`, `MODEL@FILE`, `timm:MODEL`, `timm:MODEL@FILE`, `moco:FILE`, `run:FOLDER`, `onnx:FILE`, `script:FILE`.

    `random:` may stand before each of them.
    """
    if name.startswith(_RANDOM):
        return replace(parse_encoder(name.removeprefix(_RANDOM)), random=True)
    family, colon, rest = name.partition(":")
    if not colon or family not in FAMILIES:
        family, rest = "", name
    if family not in ("", "timm"):
        return EncoderName(family, "", Path(rest))
    model, _, file = rest.partition("@")
    return EncoderName(family, model, Path(file) if file else None)


def public_encoder(name: str) -> str:
    """The name of an encoder, without the folders of a local file."""
    parts = parse_encoder(name)
    if parts.path is None:
        return name
    before = f"{name.partition('@')[0]}@" if parts.model else f"{parts.family}:"
    return before + parts.path.name


def encoder_request(options: EmbedOptions, begun: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What decides the vectors of an image: the options, the arithmetic, and the bytes of the encoder's local files.

    Args:
        begun: the request of embeddings that are there. Files that an older version did not record there are left out.
    """
    request = {**options.request(), "arithmetic": ARITHMETIC}
    if files := parse_encoder(options.encoder).files:
        refuse_large_network(*files)
        names = {str(file.relative_to(files[0].parent)): file for file in files}
        recorded = (begun or {}).get("encoder_files") or names
        known = names.keys() - recorded.keys() <= _younger(names, files[0])
        names = {name: file for name, file in names.items() if name in recorded} if known else names
        request["encoder_files"] = {name: file_record(file)["sha256"] for name, file in names.items()}
    return request


def _younger(names: Iterable[str], first: Path) -> set[str]:
    """The names that older versions did not record."""
    beside = {f"{first.name}.{kind}" for kind in ("data", "json")}
    return {name for name in names if name not in {first.name, *_WEIGHTS_OF_A_RUN, *beside}}
