"""A backbone of `miner train`, as the encoder of the next round of mining."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from miner.artifacts.embeddings.manifest import EmbeddingsManifest, EncoderRecord
from miner.artifacts.manifests import ShardsManifest
from miner.artifacts.runs.manifest import BACKBONE_FILE, TEACHER_FILE, RunManifest
from miner.artifacts.workspace import Workspace
from miner.embed.encoder_name import BEST_OF_A_RUN, OTHERS_OF_A_RUN, public_encoder
from miner.embed.encoders.base import Encoder, EncoderRequest
from miner.embed.encoders.pooling import choose_pool
from miner.embed.encoders.timm_zoo import choose_timm_pool
from miner.engine import Record
from miner.errors import MinerError
from miner.images.preprocess import Preprocess
from miner.text import counted


def run_encoder(request: EncoderRequest) -> Encoder:
    """The backbone of runs/NAME, with the stem, the image size and the normalisation of its training.

    The input is the central square of an image, resized, as in `miner eval`. The layer `projector` adds the head that was
    trained on top; `streams` puts the features of teacher and student side by side. NAME/backbone-best.safetensors is the
    backbone of the epoch with the best online kNN, NAME/teacher.safetensors that of the teacher.

    Raises:
        MinerError: the run has not finished, or its files have changed.
    """
    from miner.artifacts.runs.networks import load_backbone, starting_backbone

    assert request.path is not None
    best = request.path.name == BEST_OF_A_RUN
    file = request.path.name if request.path.name in OTHERS_OF_A_RUN else None
    run = request.path.parent if file else request.path
    trained = starting_backbone(run) if request.random else load_backbone(run, file or BACKBONE_FILE)
    network: nn.Module = trained.module
    if file or request.random:
        request.refuse_projector("it is kept with the last weights only")
        request.refuse_streams()
    if request.layer == "projector":
        request.refuse_pooling("the projector was trained on averaged features")
        network = nn.Sequential(trained.module, _head(request))
    elif request.layer == "streams":
        network = _Streams(load_backbone(run, TEACHER_FILE).module, trained.module)
        for stream in network.children():
            _choose_pool(stream, trained.config, request)
    else:
        _choose_pool(trained.module, trained.config, request)
    mean, std = ((float(a), float(b), float(c)) for a, b, c in (trained.mean, trained.std))
    return Encoder(
        request.name,
        network,
        Preprocess(trained.image_size, trained.image_size, "bilinear", mean, std, "square"),
        licence="that of whoever trained it",
        labels_seen=f"those that its epoch was chosen by; {_labels_seen(run)}" if best else _labels_seen(run),
    )


class _Streams(nn.Module):
    """Teacher and student: (n, 3, side, side) -> (n, 2 width), each half of length 1."""

    def __init__(self, teacher: nn.Module, student: nn.Module) -> None:
        super().__init__()
        self.teacher, self.student = teacher, student

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([F.normalize(stream(images).float()) for stream in (self.teacher, self.student)], dim=1)


def _choose_pool(backbone: nn.Module, config: Record, request: EncoderRequest) -> None:
    if "patch_size" in config:
        choose_timm_pool(backbone, request)
    else:
        choose_pool(backbone, request)


def _head(request: EncoderRequest) -> nn.Module:
    from miner.artifacts.runs.networks import load_projector

    assert request.path is not None
    head = load_projector(request.path)
    if head is None:
        request.refuse_projector("its run kept none")
    assert head is not None
    return head


def _labels_seen(run: Path) -> str:
    """The labels that decided the run: those of its pairs' arm, or those that the encoder of its pairs has seen.

    Data sets are published with this text, so it names no folder. `EncoderRecord.saw_labels` reads it.
    """
    made = RunManifest.read(run)
    if made.uses_labels:
        return f"the classes of its training images, which its pairs were drawn by (--pairs-arm {made.pairs_arm})"
    if not made.pairs:
        return "none"
    miner = _encoder_of_the_pairs(run, made)
    if miner is None:
        return (
            f"none by training; its {counted(made.pairs, 'pair was', 'pairs were')} mined by an encoder that is no "
            "longer on record"
        )
    return (
        f"none by training; its {counted(made.pairs, 'pair was', 'pairs were')} mined by {public_encoder(miner.name)}, "
        f"labels seen: {miner.labels_seen}"
    )


def _encoder_of_the_pairs(run: Path, made: RunManifest) -> EncoderRecord | None:
    """The record of the encoder, if the workspace around the run still holds the pairs that the run was trained on."""
    from miner.artifacts.runs.inputs import find_inputs

    workspace = Workspace(run.resolve().parent.parent)
    try:
        inputs = find_inputs(workspace, with_pairs=True)
        if inputs.fingerprint != made.request.inputs:
            return None
        origin = ShardsManifest if inputs.origin == "shards" else EmbeddingsManifest
        encoder = origin.read(workspace).encoder
        return encoder if "labels_seen" in encoder.model_fields_set else None
    except MinerError:
        return None
