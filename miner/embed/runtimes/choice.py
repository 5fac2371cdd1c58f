"""Which library computes the encoder: PyTorch, or on a CPU ONNX Runtime or OpenVINO where they are faster."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miner.artifacts.workspace import Workspace
from miner.embed.encoder_name import encoder_request, parse_encoder
from miner.embed.options import EmbedOptions
from miner.engine import Record, cache_lock, fingerprint, read_json, write_json
from miner.errors import MinerError, UsageError
from miner.machine.environment import package_versions, processor_name
from miner.source import Entry, Source
from miner.source.named.builtin import cache_folder

if TYPE_CHECKING:
    import torch

    from miner.embed.worker import Worker

LEAST_IMAGES = 4000  # exporting and measuring would take longer than they save for fewer
GRAPHS = ("onnxruntime", "openvino")
_GAIN = 1.1
_TURNS = 3
_COMPARED = 8  # images
# Variables that decide which instructions the libraries take.
_INSTRUCTIONS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")


def begun_runtime(options: EmbedOptions, begun: Mapping[str, Any]) -> EmbedOptions:
    """The options with the runtime of embeddings that were begun, unless the user names one. Imports no torch.

    Raises:
        UsageError: the runtime cannot compute what is asked for.
    """
    return _with(options, begun.get("runtime", "torch") if options.runtime == "auto" else options.runtime)


def new_runtime(options: EmbedOptions, source: Source, entries: Sequence[Entry]) -> EmbedOptions:
    """The options with the runtime of new embeddings.

    A runtime that the user names is taken if its vectors of noise and of the first images agree with those of torch; else torch
    is taken, and a line says why. `auto` is torch for few images. For more, it is the fastest that agrees: measured once for an
    encoder on a machine, and kept in the cache.

    Raises:
        UsageError: the runtime cannot compute what is asked for.
        MinerError: it is not installed, or the encoder cannot be loaded.
    """
    named = options.runtime != "auto"
    looks_further = named or (len(entries) >= LEAST_IMAGES and not _why_torch(options))
    if options.runtime == "torch" or not looks_further:
        return _with(options, "torch")
    from miner.embed.worker import worker_of

    options = _with(options, options.runtime) if named else options.model_copy(update={"device": "cpu"})
    worker = worker_of(options.model_copy(update={"runtime": "torch"}), source)
    images = worker.some_pixels(entries[: worker.batch_size])
    decision = _decision_file(options, worker)
    known = {"runtime": options.runtime} if named else read_json(decision)
    names = [name for name in GRAPHS if known is None or name == known["runtime"]]
    fitting = [name for name in names if _fits(name, worker, images[:_COMPARED], named)]
    if known is None:
        known = _measured(worker, fitting, images)
        if fitting:
            with cache_lock(decision.parent):
                write_json(decision, known)
        worker.runtimes = {name: made for name, made in worker.runtimes.items() if name in ("torch", known["runtime"])}
    chosen = known["runtime"] if known["runtime"] in fitting else "torch"
    return _with(options, chosen)


def _with(options: EmbedOptions, runtime: str) -> EmbedOptions:
    """The options with a runtime, and with the device on which it computes.

    Raises:
        UsageError: the runtime cannot compute what is asked for.
    """
    if runtime in GRAPHS:
        if reason := _reason_for_torch(options):
            raise UsageError(f"{runtime} cannot encode here: {reason}. Leave that out, or use --runtime torch.")
        if options.device == "auto":
            options = options.model_copy(update={"device": "cpu"})
    return options.model_copy(update={"runtime": runtime})


def _reason_for_torch(options: EmbedOptions) -> str:
    """Why only torch can do it; empty if others can."""
    if options.compile:
        return "--compile compiles for torch"
    if options.precision == "bf16":
        return "it computes in float32, and --precision is bf16"
    if parse_encoder(options.encoder).family == "onnx":
        return "the encoder is a graph, which onnxruntime computes in any case"
    other = {*options.device.split(",")} - {"cpu", "auto"}
    return f"it computes on the CPU, and --device is {options.device}" if other else ""


def _why_torch(options: EmbedOptions) -> str:
    """Why `auto` looks no further than torch here, however many images there are; empty if it does."""
    if reason := "a Ray cluster encodes" if options.engine_address else _reason_for_torch(options):
        return reason
    from miner.machine.device import has_native_bf16, worker_device

    device = worker_device(options.device)
    if device.type != "cpu":
        return f"it computes on the device {device}"
    # In bfloat16 torch also resizes faster, so that the whole stage is the faster one though an encoder alone may not be.
    by_bf16 = options.precision == "auto" and has_native_bf16(device)
    return "the processor multiplies bfloat16 natively" if by_bf16 else ""


def expected_runtime(worker: "Worker") -> str:
    """What `--runtime auto` takes for new embeddings by the encoder of a worker, and why, in words."""
    from miner.embed.runtimes.networks import is_installed

    if reason := _why_torch(worker.options):
        return f"torch: {reason}"
    many = f"for {LEAST_IMAGES:,} images or more"
    if known := read_json(_decision_file(worker.options, worker)):
        rates = _listed(known.get("images_per_processor_s", {}))
        return f"{known['runtime']} {many} (measured before, images per processor second: {rates}); torch for fewer"
    names = [name for name in GRAPHS if is_installed(name)]
    return f"{many}, the fastest of {', '.join(['torch', *names])}, which the first run measures; torch for fewer"


def _fits(name: str, worker: "Worker", images: "torch.Tensor", named: bool) -> bool:
    """Whether a runtime is there and agrees with torch; a line says why if it does not agree.

    Raises:
        MinerError: the user named it, and it is not installed.
    """
    from miner.embed.runtimes.networks import check_agreement, is_installed

    if not is_installed(name):
        if named:
            raise MinerError(f"--runtime {name} needs {name}, which is not installed. Run `pip install {name}`.")
        return False
    try:
        worker.take(name)
        worker.in_a_thread(check_agreement, worker.encoder, worker.by_torch, images)
    except MinerError as error:
        _say(f"--runtime {name} is left out, and torch encodes: {error}")
        return False
    finally:
        worker.take("torch")
    return True


def _measured(worker: "Worker", fitting: Sequence[str], images: "torch.Tensor") -> Record:
    """The runtimes with their images per processor second of each thread while all encode, and the one to take."""
    from miner.embed.batch_size import images_per_second

    rates = dict.fromkeys(("torch", *fitting), 0.0)
    if not fitting:
        return {"runtime": "torch"}
    for _ in range(_TURNS):
        for name in rates:
            encoder, _, precision = worker.runtimes[name]
            encode = partial(worker.encode_everywhere, encoder, precision)
            rates[name] = max(rates[name], images_per_second(encode, images, time.process_time) * worker.workers)
    fastest = max(rates, key=lambda name: rates[name])
    chosen = fastest if rates[fastest] > _GAIN * rates["torch"] else "torch"
    _say(f"{chosen} encodes (images per processor second: {_listed(rates)})")
    return {"runtime": chosen, "images_per_processor_s": {name: round(rate, 1) for name, rate in rates.items()}}


def _listed(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())


def _decision_file(options: EmbedOptions, worker: "Worker") -> Path:
    """The file in the cache for an encoder on this machine."""
    asked = encoder_request(options)
    decides = {
        "asked": {
            name: asked.get(name) for name in ("encoder", "layer", "pool", "precision", "arithmetic", "encoder_files")
        },
        "batch_size": worker.batch_size,
        "threads": worker.workers,
        "processor": processor_name(),
        "instructions": [os.environ.get(name) for name in _INSTRUCTIONS],
        "packages": package_versions(("torch", *GRAPHS)),
    }
    return cache_folder() / "runtimes" / f"{fingerprint(decides)}.json"


def compare_arithmetic(workspace: Workspace, worker: "Worker", begun: bool) -> None:
    """Keep what computes new embeddings in a hidden file. Say so where other arithmetic goes on with them."""
    path = workspace.root / ".arithmetic.json"
    now = {
        "library": " ".join(worker.library[name] for name in ("name", "version")),
        "precision": str(worker.precision).removeprefix("torch."),
        "machine": worker.machine,
    }
    then = read_json(path) if begun else None
    if not begun:
        write_json(path, now)
    elif then is not None and then != now:
        before, after = ("{library} in {precision} on {machine}".format(**made) for made in (then, now))
        _say(
            f"these vectors were begun by {before}, and go on by {after}. The arithmetic differs, so the vectors of the same "
            "image may differ slightly. To have all from one, go on there, or encode all again here with --force"
        )


def _say(line: str) -> None:
    print(f"embed: {line}.", file=sys.stderr, flush=True)
