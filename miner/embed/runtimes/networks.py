"""An encoder whose network is computed by ONNX Runtime or OpenVINO."""

import importlib
import threading
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from miner.embed.encoders import Encoder
from miner.embed.encoders.onnx_file import OnnxNetwork, open_session
from miner.embed.runtimes.graphs import exported
from miner.engine import Record
from miner.errors import MinerError

LEAST_COSINE = 0.99999
_NOISE = 4  # images


class OpenVinoNetwork(nn.Module):
    """A graph as a module: float32 (n, 3, side, side) on the CPU -> its output. Up to `threads` calls run side by side, each on
    one core."""

    def __init__(self, path: Path, threads: int) -> None:
        super().__init__()
        openvino: Any = importlib.import_module("openvino")
        settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads}
        self._model = openvino.Core().compile_model(str(path), "CPU", settings)
        self._of_thread = threading.local()

    def forward(self, images: Tensor) -> Tensor:
        if not hasattr(self._of_thread, "request"):
            self._of_thread.request = self._model.create_infer_request()
        request = self._of_thread.request
        request.infer({0: images.contiguous().numpy()}, share_inputs=True)
        return torch.from_numpy(request.get_output_tensor(0).data.copy())


def is_installed(runtime: str) -> bool:
    """Whether the library can be imported."""
    return find_spec(runtime) is not None


def computed_by(runtime: str, encoder: Encoder, threads: int) -> tuple[Encoder, Record]:
    """An encoder whose network another library computes in float32, and the record of that library and its graph.

    Args:
        runtime: onnxruntime or openvino.
        encoder: on the CPU, computed by torch.
        threads: that will encode side by side.
    Raises:
        MinerError: the library is not installed, the network cannot be exported, or its vectors of noise are others.
    """
    if not is_installed(runtime):
        raise MinerError(f"{runtime} is not installed. Run `pip install {runtime}`")
    graph = exported(encoder)
    try:
        network = (
            OnnxNetwork(open_session(graph.path), "auto")
            if runtime == "onnxruntime"
            else OpenVinoNetwork(graph.path, threads)
        )
        found = replace(encoder, network=network)
        side = encoder.preprocess.crop
        noise = torch.randint(
            0, 256, (_NOISE, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        )
        check_agreement(found, encoder, noise)
    except MinerError:
        raise
    except Exception as error:  # each library has classes of its own
        raise MinerError(f"{runtime} cannot compute {encoder.name} ({' '.join(str(error).split())[:160]})") from error
    return found, {"name": runtime, "version": metadata.version(runtime), "graph_sha256": graph.sha256}


def check_agreement(encoder: Encoder, reference: Encoder, pixels: Tensor) -> None:
    """Compare float32 vectors of images uint8 (n, side, side, 3) with those of torch.

    Raises:
        MinerError: a cosine is below `LEAST_COSINE`.
    """
    ours, expected = (one.encode(pixels, torch.float32).double() for one in (encoder, reference))
    cosine = float((ours * expected).sum(1).min()) if len(pixels) else 1.0
    if not cosine >= LEAST_COSINE:
        raise MinerError(
            f"its vectors differ from those of torch (cosine {cosine:.6f}, at least {LEAST_COSINE} is asked for)"
        )
