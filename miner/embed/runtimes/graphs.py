"""The network of an encoder as an ONNX graph in the cache: exported once for all runs on this machine."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from miner.embed.encoder_name import ARITHMETIC
from miner.embed.encoders import Encoder
from miner.embed.encoders.base import weights_sha256
from miner.engine import cache_lock, committed, file_record, fingerprint, read_json, write_json
from miner.errors import MinerError
from miner.machine.environment import package_versions
from miner.source.named.builtin import cache_folder

_REASON_LENGTH = 160
_EXPORTERS = ("torch", "torchvision", "timm", "onnx", "onnxscript")


@dataclass(frozen=True)
class ExportedGraph:
    """A file in the cache and the SHA-256 of its bytes."""

    path: Path
    sha256: str


def exported(encoder: Encoder) -> ExportedGraph:
    """The graph of an encoder's network, float32 (n, 3, side, side) -> the features that the network gives.

    Its file is named after all that decides it: the weights, the modules, the size of the images and the versions of the exporter.

    Args:
        encoder: on the CPU.
    Raises:
        MinerError: torch cannot export the network, or the cache cannot be written.
    """
    network, side = encoder.network, encoder.preprocess.crop
    decides = {
        "weights": encoder.weights_sha256 or weights_sha256(network),
        "modules": str(network),
        "output": [encoder.layer, encoder.pool],
        "input": ["images", 3, side, side],
        "arithmetic": ARITHMETIC,
        "packages": package_versions(_EXPORTERS),
    }
    path = cache_folder() / "graphs" / f"{fingerprint(decides)}.onnx"
    if known := _cached(path):
        return known
    with cache_lock(path.parent):
        if known := _cached(path):  # another process has exported it
            return known
        with committed(path) as partial:
            try:
                _export(network, side, partial)
            except Exception as error:  # of many kinds, from the many parts of the exporter
                reason = " ".join(str(error).split())[:_REASON_LENGTH]
                raise MinerError(f"{encoder.name} cannot be exported as a graph ({reason})") from error
        made = ExportedGraph(path, file_record(path)["sha256"])
        about = {"encoder": encoder.name, "weights_sha256": encoder.weights_sha256, "sha256": made.sha256}
        write_json(path.with_suffix(".json"), about)
    return made


def _cached(path: Path) -> ExportedGraph | None:
    """The graph of an earlier export, if its file is unchanged."""
    record = read_json(path.with_suffix(".json"))
    whole = record is not None and path.is_file() and file_record(path)["sha256"] == record["sha256"]
    return ExportedGraph(path, record["sha256"]) if record and whole else None


def _export(network: torch.nn.Module, side: int, path: Path) -> None:
    """Write the graph, without the file names and lines of the code that it came from."""
    import onnx

    with _silence(), torch.inference_mode():
        example = torch.zeros(2, 3, side, side)
        batches = ({0: torch.export.Dim("images")},)
        program = torch.onnx.export(network, (example,), dynamo=True, dynamic_shapes=batches, verbose=False)
    assert program is not None
    proto = program.model_proto
    if not proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ValueError("its code fixes the number of images in a batch")
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info):
        part.ClearField("metadata_props")
    onnx.save_model(proto, path)


@contextmanager
def _silence() -> Iterator[None]:
    """The exporter prints progress, warnings and logs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
