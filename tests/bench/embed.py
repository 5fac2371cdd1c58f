"""`miner embed` against a plain script, the bare encoder and the bare decoder.

    python tests/bench/embed.py --sources FOLDER cifar10 --encoders efficientnet_lite0 resnet50

makes one record of every source with every encoder. The images are written to a folder first, which all read. After the plain
script all other sides take turns, `--repeats` times; a ratio is the median of the ratios of the turns. `--runtimes` adds the
sides `miner_embed`, `bare_encoder` and `bare_decoder` by other runtimes, under their names. `best` compares the fastest stage
with the fastest bare encoder and that stage's own decoder sharing the cores, and with the stage of `--before CHECKOUT`.

miner_embed   the whole stage, files and all, with the network loaded
published     the network as its authors publish it on ready tensors, in the same precision: autocast, channels last, torch's own
              threads, and the fastest of a few batch sizes
bare_encoder  miner's own network (batch norms folded), batches and threads on ready tensors
bare_decoder  the same threads read, decode and preprocess, and encode nothing
before        the whole stage of another checkout, with the network loaded, in a process of its own that waits meanwhile
plain_script  plain_embed.py with as many decoding processes, in a process of its own

On a CPU the encoder and the decoder share the cores, so that nothing can be faster than `both_in_turn`: 1 / (1 / encoder +
1 / decoder). Random weights are as fast as trained ones; ResNet-50's are random unless its name says otherwise (NAME@FILE).
"""

# ruff: noqa: E402
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

from miner.engine.heap import share_one_heap

share_one_heap()  # as the command line does, before any library starts a thread

import numpy as np
import timm
import torch
from plain_embed import lite0
from record import publish, summary
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from miner.artifacts.embeddings.images import EmbeddedImage
from miner.artifacts.workspace import Workspace
from miner.embed.decoding import decode_into
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.embed.worker import Worker, worker_of
from miner.source import open_source

PLAIN = Path(__file__).with_name("plain_embed.py")
PUBLISHED_BATCHES = (4, 16, 64)
BEFORE = """
import sys, tempfile, time
from pathlib import Path
from miner.engine.heap import share_one_heap
share_one_heap()
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
options = EmbedOptions(source=sys.argv[1], encoder=sys.argv[2], device=sys.argv[3])
for line in sys.stdin:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        embed(options, Workspace(Path(folder)))
        print(time.perf_counter() - started, flush=True)
"""
INSTRUCTIONS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "OPENBLAS_CORETYPE")


def write_folder(spec: str, images: int, folder: Path) -> int:
    """The first images of a source as files in class folders; how many there are."""
    source = open_source(spec)
    entries = list(source.entries[:images])
    for entry in entries:
        path = folder / f"class{entry.label or 0}" / f"{entry.key}.{entry.extension.lstrip('.')}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.read(entry))
    return len(entries)


def random_weights(encoder: str, folder: Path) -> str:
    """The encoder with the name of a file of random weights, where it has no weights of its own here."""
    if encoder.startswith("efficientnet_lite") or "@" in encoder:
        return encoder
    torch.manual_seed(0)
    path = folder / f"{encoder.replace(':', '-')}.pth"
    torch.save(plain_network(encoder).state_dict(), path)
    return f"{encoder}@{path}"


def plain_network(name: str) -> torch.nn.Module:
    """A network with random weights: torchvision's ResNet-50, or one of timm (timm:NAME)."""
    return timm.create_model(name.removeprefix("timm:"), num_classes=0) if ":" in name else models.resnet50()


def peak_tflops(device: torch.device, precision: torch.dtype, side: int) -> float:
    """What this machine reaches in a product of two square matrices of this side."""
    one, other = (torch.randn(side, side, device=device).to(precision) for _ in range(2))
    taken = []
    for _ in range(6):
        started = time.perf_counter()
        (one @ other)[0, 0].item()
        taken.append(time.perf_counter() - started)
    return 2 * side**3 / min(taken) / 1e12


def in_threads(worker: Worker, work: Callable[[int], object], images: int) -> None:
    """Call `work` with the sizes of all batches, on the worker's threads."""
    sizes = [min(worker.batch_size, images - start) for start in range(0, images, worker.batch_size)]
    list(worker.pool.map(work, sizes))


def bare_encoder(worker: Worker, images: int) -> None:
    side = worker.encoder.preprocess.crop
    ready = torch.zeros(worker.batch_size, side, side, 3, dtype=torch.uint8)
    if worker.on_cpu:
        in_threads(worker, lambda size: worker.vectors(ready[:size]), images)
    else:
        for start in range(0, images, worker.batch_size):
            worker.vectors(ready[: images - start])


def published(name: str, precision: torch.dtype, device: str) -> Callable[[int], None]:
    """Encodes so many ready images with the network as published."""
    network = lite0()[0] if name.startswith("efficientnet") else plain_network(name)
    network.eval()
    network = network.to(device, memory_format=torch.channels_last)
    side = 224

    def encode(images: int, batch: int) -> None:
        ready = torch.zeros(batch, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)
        autocast = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == torch.bfloat16)
        with torch.inference_mode(), autocast:
            for start in range(0, images, batch):
                network(ready[: images - start]).float().cpu()

    def seconds(batch: int) -> float:
        started = time.perf_counter()
        encode(128, batch)
        return time.perf_counter() - started

    encode(64, 64)
    fastest = min(PUBLISHED_BATCHES, key=lambda batch: min(seconds(batch) for _ in range(2)))
    return lambda images: encode(images, fastest)


def bare_decoder(worker: Worker, images: int) -> None:
    entries = list(worker.source.entries[:images])
    steps, fast = worker.encoder.preprocess, worker.precision == torch.bfloat16

    def decode(start: int) -> None:
        batch = entries[start : start + worker.batch_size]
        pixels = torch.empty(len(batch), steps.crop, steps.crop, 3, dtype=torch.uint8).numpy()
        for row, entry in enumerate(batch):
            assert isinstance(decode_into(pixels[row], worker.source, entry, steps, fast=fast), EmbeddedImage)

    list(worker.pool.map(decode, range(0, len(entries), worker.batch_size)))


def miner_embed(options: EmbedOptions) -> None:
    with tempfile.TemporaryDirectory() as folder:
        embed(options, Workspace(Path(folder)))


def runtime_sides(
    runtime: str, worker: Worker, options: EmbedOptions, images: int
) -> dict[str, Callable[[], float | None]]:
    """The sides of a runtime beside torch, which is taken again after each of them."""

    def by_it(side: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            worker.take(runtime)
            side()
            worker.take("torch")

        return run

    named = options.model_copy(update={"runtime": runtime})
    return {
        f"miner_embed {runtime}": by_it(lambda: miner_embed(named)),
        f"bare_encoder {runtime}": by_it(lambda: bare_encoder(worker, images)),
        f"bare_decoder {runtime}": by_it(lambda: bare_decoder(worker, images)),
    }


def over_torch(runtime: str, by_turn: dict[str, np.ndarray]) -> dict[str, float]:
    """The speed of a runtime over that of torch in the same turn, and over what its own encoder and decoder allow."""
    stage, encoder, decoder = (by_turn[f"{side} {runtime}"] for side in ("miner_embed", "bare_encoder", "bare_decoder"))
    return {
        "miner_embed_over_torch": float(np.median(by_turn["miner_embed"] / stage)),
        "bare_encoder_over_torch": float(np.median(by_turn["bare_encoder"] / encoder)),
        "miner_embed_over_both_in_turn": float(np.median((encoder + decoder) / stage)),
        "miner_embed_over_slower_of_both": float(np.median(np.maximum(encoder, decoder) / stage)),
    }


def best_stage(by_turn: dict[str, np.ndarray]) -> dict[str, Any]:
    """The runtime with the fastest stage, its speed over the one before, and its share of what encoder and decoder allow."""
    median = {name: float(np.median(seconds)) for name, seconds in by_turn.items() if len(seconds)}
    stage, encoder = (
        min((name for name in median if name.split()[0] == side), key=lambda name: median[name])
        for side in ("miner_embed", "bare_encoder")
    )
    runtime = stage.removeprefix("miner_embed").strip() or "torch"
    decoder = by_turn[stage.replace("miner_embed", "bare_decoder")]
    over = {"both_in_turn": float(np.median((by_turn[encoder] + decoder) / by_turn[stage]))}
    if "before" in by_turn:
        over["before"] = float(np.median(by_turn["before"] / by_turn[stage]))
    return {"runtime": runtime, "fastest_encoder": encoder, "miner_embed_over": over}


@contextmanager
def stage_of(checkout: str, folder: Path, encoder: str, device: str) -> Iterator[Callable[[], float]]:
    """Times the stage of another checkout; its process has loaded the network."""
    command = [sys.executable, "-c", BEFORE, str(folder), encoder, device]
    paths = os.pathsep.join([checkout, os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        command,
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": paths},
        text=True,
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
    ) as process:
        assert process.stdin and process.stdout
        asked, answers = process.stdin, process.stdout

        def seconds() -> float:
            asked.write("\n")
            asked.flush()
            return float(answers.readline())

        seconds()
        yield seconds
        asked.close()


def plain_script(folder: Path, encoder: str, workers: int, device: str) -> float:
    name, _, weights = encoder.partition("@")
    command = [sys.executable, str(PLAIN), str(folder), name, "--workers", str(workers), "--device", device]
    command += ["--weights", weights] if weights else []
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(answer.splitlines()[-1])["seconds"])


def turns(sides: dict[str, Callable[[], float | None]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each side in each turn; a side may know its own."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            started = time.perf_counter()
            own = side()
            seconds[name].append(time.perf_counter() - started if own is None else own)
    return seconds


def flops_of(worker: Worker) -> int:
    """Floating point operations of one image, two for a multiplication with addition."""
    side = worker.encoder.preprocess.crop
    pixels = torch.zeros(1, side, side, 3, dtype=torch.uint8, device=worker.device)
    with FlopCounterMode(display=False) as counter:
        worker.encoder.encode(pixels, torch.float32)
    return int(counter.get_total_flops())


def peak_memory(spec: str, encoder: str, images: int) -> dict[str, int]:
    """Peak memory of a whole `miner embed` process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "miner", "embed", spec, "--encoder", encoder, "--limit", str(images)]
        subprocess.run([*command, "-w", folder, "--block-size", "256"], check=True, capture_output=True)
        log = json.loads((Path(folder) / "run.json").read_text())
    return {"images": images, "peak_memory_mb": log["stages"]["embed"]["measured"]["peak_memory_mb"]}


def measure(folder: Path, images: int, encoder: str, given: argparse.Namespace) -> dict[str, Any]:
    """One source with one encoder."""
    options = EmbedOptions(
        source=str(folder), encoder=encoder, device=given.device, batch_size=given.batch_size, runtime="torch"
    )
    worker = worker_of(options, open_source(str(folder)))
    workers = worker.pool._max_workers
    name = encoder.partition("@")[0]
    sides: dict[str, Callable[[], float | None]] = {
        "miner_embed": lambda: miner_embed(options),
        "bare_encoder": lambda: bare_encoder(worker, images),
        "bare_decoder": lambda: bare_decoder(worker, images),
    }
    if given.published:
        as_published = published(name, worker.precision, str(worker.device))
        sides["published"] = lambda: as_published(images)
    others = [name for name in given.runtimes if name != "torch"]
    for runtime in others:
        sides |= runtime_sides(runtime, worker, options, images)
    plain: dict[str, Callable[[], float | None]] = {
        "plain_script": lambda: plain_script(folder, encoder, workers, str(worker.device))
    }
    for runtime in (*others, "torch"):  # a first pass is slower on every device
        worker.take(runtime)
        bare_encoder(worker, min(images, 2 * worker.batch_size))
    with ExitStack() as processes:
        if given.before:
            before = stage_of(given.before, folder, encoder, given.device)
            sides["before"] = processes.enter_context(before)
        seconds = turns(plain, given.plain_repeats) | turns(sides, given.repeats)
    by_turn = {name: np.asarray(values) for name, values in seconds.items()}
    ours = by_turn["miner_embed"]
    bounds = {
        "bare_encoder": by_turn["bare_encoder"],
        "bare_decoder": by_turn["bare_decoder"],
        "slower_of_both": np.maximum(by_turn["bare_encoder"], by_turn["bare_decoder"]),
        "both_in_turn": by_turn["bare_encoder"] + by_turn["bare_decoder"],
    }
    if given.published:
        bounds["published"] = by_turn["published"]
        bounds["slower_of_published_and_decoder"] = np.maximum(by_turn["published"], by_turn["bare_decoder"])
    if given.plain_repeats:
        bounds["plain_script"] = np.median(by_turn["plain_script"])
    record: dict[str, Any] = {
        "encoder": name,
        "weights_sha256": worker.encoder.weights_sha256,
        "images": images,
        "precision": str(worker.precision).removeprefix("torch."),
        "batch_size": worker.batch_size,
        "workers": workers,
        **{
            name: {**summary(values), "images_per_s": images / float(np.median(values))}
            for name, values in seconds.items()
            if values
        },
        "miner_embed_over": {name: float(np.median(bound / ours)) for name, bound in bounds.items()},
    }
    record |= {runtime: over_torch(runtime, by_turn) for runtime in others}
    record["best"] = best_stage(by_turn)
    flops = flops_of(worker)
    record["flops_per_image"] = flops
    record["tflops_per_s"] = flops * images / float(np.median(ours)) / 1e12
    if given.peak_side:
        peak = peak_tflops(worker.device, worker.precision, given.peak_side)
        shares = {side: flops * record[side]["images_per_s"] / 1e12 / peak for side in ("miner_embed", "bare_encoder")}
        record |= {"peak_tflops": peak, "share_of_peak_flops": shares}
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", nargs="+", default=["sample"])
    parser.add_argument("--encoders", nargs="+", default=["efficientnet_lite0", "resnet50"])
    parser.add_argument("--images", type=int, default=2048, help="of each source; 0 leaves only the memory")
    parser.add_argument(
        "--slow-images", type=int, default=512, help="of each source, for anything but EfficientNet-Lite"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--plain-repeats", type=int, default=1, help="of the plain script, which takes most of the time"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--peak-side", type=int, help="of a matrix product that measures the peak, for the share of it")
    parser.add_argument("--memory-images", type=int, default=0, help="also peak memory at 1, 4 and 16 times so many")
    parser.add_argument("--runtimes", nargs="+", default=["torch"], help="torch, onnxruntime, openvino")
    parser.add_argument("--published", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--before", metavar="CHECKOUT", help="another version, whose stage takes turns with this one's")
    parser.add_argument("--note", help="kept in the record")
    parser.add_argument("--name", default="embed-throughput")
    given = parser.parse_args()
    about: dict[str, Any] = {"threads": torch.get_num_threads()}
    about |= {"instructions": {name: os.environ[name] for name in INSTRUCTIONS if name in os.environ}}
    about |= {"note": given.note} if given.note else {}
    cases: list[dict[str, Any]] = []
    memory: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for spec in given.sources if given.images else ():
            for encoder in given.encoders:
                name = random_weights(encoder, Path(temporary))
                limit = given.images if encoder.startswith("efficientnet_lite") else given.slow_images
                folder = Path(temporary) / f"{Path(spec).name}-{limit}"
                images = write_folder(spec, limit, folder)
                record = {"source": Path(spec).name, **measure(folder, images, name, given)}
                if name != encoder:
                    record["weights"] = "random"
                cases.append(record)
                print(json.dumps([record["miner_embed_over"], record["best"]]), file=sys.stderr, flush=True)
                publish(given.name, {**about, "cases": cases, "memory": memory})
        if given.memory_images:
            spec, encoder = given.sources[0], given.encoders[0]
            memory = [peak_memory(spec, encoder, given.memory_images * factor) for factor in (1, 4, 16)]
    publish(given.name, {**about, "cases": cases, "memory": memory})


if __name__ == "__main__":
    main()
