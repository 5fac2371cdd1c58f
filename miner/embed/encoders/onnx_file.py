"""ONNX files, run by onnxruntime. A graph of tensors holds no code."""

import hashlib
import importlib
from functools import cache
from math import prod
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from miner.embed.encoders.base import Encoder, EncoderRequest
from miner.embed.encoders.pooling import pooled
from miner.embed.onnx_data import check_external_data, external_files
from miner.embed.options import Pool
from miner.errors import MinerError, UsageError
from miner.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, RESAMPLING, Preprocess, Triple
from miner.machine.memory import format_bytes, free_bytes
from miner.text import counted

_LONGEST_SIDE = 4096  # pixels
_LARGEST_OUTPUT = 1 << 26  # numbers per image
_LARGEST_CONSTANT_BYTES = 1 << 26  # that onnxruntime computes when it opens a graph, outside the memory that is bounded
Side = Annotated[int, Field(gt=0, le=_LONGEST_SIDE)]


class OnnxPreprocess(BaseModel):
    """The preprocessing in PATH.json beside PATH, for what neither the graph nor the defaults say.

    Attributes:
        resize: short side after resizing, in pixels; by default 8/7 of the crop (256 for 224).
        crop: side of the centre crop, in pixels; by default the input size of the graph.
        interpolation: a name in `RESAMPLING`.
        mean, std: per channel, of pixels scaled to 0..1; by default those of ImageNet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    resize: Side | None = None
    crop: Side | None = None
    interpolation: str = "bilinear"
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD


class OnnxNetwork(nn.Module):
    """A graph as a module: float32 (n, 3, side, side) on any device -> its first output, on the same device.

    The graph runs on the CPU and in its own precision; `--device` and `--precision` do not change that.
    """

    def __init__(self, session: Any, pool: Pool) -> None:
        super().__init__()
        self.session = session
        self.input_name: str = session.get_inputs()[0].name
        batch = session.get_inputs()[0].shape[0]
        self.fixed_batch = batch if isinstance(batch, int) else None
        self.pool: Pool = pool

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        size = self.fixed_batch or len(images)
        outputs = [self._run(part, size) for part in torch.split(images.float().contiguous().cpu(), size)]
        return pooled(torch.cat(outputs), self.pool).to(images.device)

    def _run(self, part: torch.Tensor, size: int) -> torch.Tensor:
        """The output of a part. If the graph has a fixed batch size, black images fill the last part up."""
        filled = torch.cat([part, part.new_zeros(size - len(part), *part.shape[1:])])
        try:
            output = self.session.run(None, {self.input_name: filled.numpy()})[0]
        except Exception as error:  # see `open_session`
            if "Available memory of" in str(error):
                raise MinerError(
                    f"The ONNX graph takes more than {format_bytes(_arena_bytes())} of memory for "
                    f"{counted(size, 'image')}, half of what was "
                    "free. Give fewer images at a time (--batch-size), or use a larger machine."
                ) from error
            raise MinerError(f"The ONNX graph failed on {counted(size, 'image')} ({_reason(error)}).") from error
        return torch.from_numpy(output)[: len(part)]


def onnx_encoder(request: EncoderRequest) -> Encoder:
    """The first output of an ONNX graph.

    Raises:
        UsageError: a projector was asked for, or pooling that does not fit the output.
        MinerError: onnxruntime is not installed, or the file is no graph over images.
    """
    assert request.path is not None
    request.refuse_projector("a graph has the output that was exported")
    session = open_session(request.path)
    shape = session.get_outputs()[0].shape
    if prod(side for side in shape[1:] if isinstance(side, int)) > _LARGEST_OUTPUT:
        raise MinerError(f"{request.path} gives {shape} numbers, more than an embedding may have.")
    rank = len(shape)
    if rank == 2:
        request.refuse_pooling("the graph gives one vector per image")
    elif request.pool == "cls" and rank != 3:
        request.refuse_pooling("the graph gives a feature map and no tokens")
    return Encoder(
        request.name,
        OnnxNetwork(session, request.pool),
        _preprocess(request.path, _input_side(session, request.path)),
        licence="see the file",
        labels_seen="unknown (local file)",
        weights_sha256=_sha256(request.path),
    )


def open_session(path: Path) -> Any:
    """A session of onnxruntime over a graph, with as many threads as torch has.

    Raises:
        MinerError: onnxruntime is not installed, or the file is no graph.
    """
    try:
        onnxruntime: Any = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise MinerError(f"{path} needs onnxruntime, which is not installed. Run `pip install onnxruntime`.") from error
    check_external_data(path)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.log_severity_level = 4
    settings.add_session_config_entry("session.use_env_allocators", "1")
    settings.add_session_config_entry(
        "optimization.constant_folding_max_output_size_in_bytes", str(_LARGEST_CONSTANT_BYTES)
    )
    _arena_bytes()
    try:
        return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each of its status codes, and no common one
        raise MinerError(f"{path} could not be read as an ONNX graph ({_reason(error)}).") from error


@cache
def _arena_bytes() -> int:
    """The memory for the tensors of all graphs of this process, half of what is free; it is reserved when they need it."""
    runtime: Any = importlib.import_module("onnxruntime")
    most = free_bytes() // 2
    place = runtime.OrtMemoryInfo("Cpu", runtime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, runtime.OrtMemType.DEFAULT)
    runtime.create_and_register_allocator(place, runtime.OrtArenaCfg(most, -1, -1, -1))
    return most


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _input_side(session: Any, path: Path) -> int | None:
    """Side of the square input in pixels; None if the graph takes any size."""
    inputs = session.get_inputs()
    shape = inputs[0].shape
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(shape) != 4 or shape[1] not in (3, "3"):
        found = ", ".join(f"{item.name}: {item.type} {item.shape}" for item in inputs)
        raise MinerError(f"{path} takes {found}. miner feeds one float32 input of shape (images, 3, side, side).")
    height, width = shape[2:]
    if not isinstance(height, int) or not isinstance(width, int):
        return None
    if height != width or height > _LONGEST_SIDE:
        raise MinerError(
            f"{path} takes images of {width} x {height} pixels; miner feeds squares of at most {_LONGEST_SIDE}."
        )
    return height


def _preprocess(path: Path, graph_side: int | None) -> Preprocess:
    beside = path.with_name(f"{path.name}.json")
    try:
        given = OnnxPreprocess.model_validate_json(beside.read_bytes()) if beside.exists() else OnnxPreprocess()
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{beside}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    crop = given.crop or graph_side
    if crop is None:
        raise UsageError(
            f"{path} takes images of any size, so the size must be given: write {beside} with "
            '{"resize": 256, "crop": 224}.'
        )
    if graph_side is not None and crop != graph_side:
        raise UsageError(f"{beside} asks for a crop of {crop} pixels, but the graph takes {graph_side}.")
    if given.interpolation not in RESAMPLING:
        raise UsageError(f"{beside}: interpolation {given.interpolation!r} is not one of {', '.join(RESAMPLING)}.")
    return Preprocess(given.resize or crop * 8 // 7, crop, given.interpolation, given.mean, given.std)


def _sha256(path: Path) -> str:
    """sha256 of the file, and of the files with further weights."""
    digest = hashlib.sha256()
    for part in dict.fromkeys((path, path.with_name(f"{path.name}.data"), *external_files(path))):
        if part.exists():
            with part.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
    return digest.hexdigest()


def refuse_torchscript(request: EncoderRequest) -> Encoder:
    """Refuse a TorchScript archive: it carries code, which runs when the archive is loaded or called.

    Raises:
        UsageError: always.
    """
    raise UsageError(
        f"--encoder {request.name}: a TorchScript file executes code from the file, and miner runs no code that comes with "
        "weights. Export the model to ONNX (torch.onnx.export) and use --encoder onnx:FILE, or save its state dict and use "
        "ARCH@FILE."
    )
