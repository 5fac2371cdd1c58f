"""`miner embed` against a plain script, the bare encoder and the bare decoder.

    python tests/bench/embed.py --source FOLDER [--encoder resnet50@FILE]

The plain script is what one writes first: a torchvision transform in a DataLoader with two workers, the same network, float32. The
bare encoder is the forward pass on ready tensors in the precision that miner chooses; the bare decoder reads and decodes with
miner's threads and encodes nothing. All take turns. How peak memory grows with the number of images is in the record.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from record import publish, summary
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from miner.device import resolve_precision
from miner.embed.encoders import Encoder, load_encoder
from miner.embed.job import Worker
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.source import Entry, Source, open_source
from miner.workspace import Workspace

CPU = torch.device("cpu")
BATCH = 64


class PlainImages(Dataset):
    def __init__(self, source: Source, encoder: Encoder, limit: int) -> None:
        self.source, self.entries = source, source.entries[:limit]
        steps = encoder.preprocess
        self.transform = transforms.Compose(
            [
                transforms.Resize(steps.resize, transforms.InterpolationMode(steps.interpolation)),
                transforms.CenterCrop(steps.crop),
                transforms.ToTensor(),
                transforms.Normalize(steps.mean, steps.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, row: int) -> torch.Tensor:
        return self.transform(Image.open(io.BytesIO(self.source.read(self.entries[row]))).convert("RGB"))


def plain_script(source: Source, encoder: Encoder, limit: int) -> np.ndarray:
    loader = DataLoader(PlainImages(source, encoder, limit), batch_size=BATCH, num_workers=2)
    with torch.inference_mode():
        vectors = torch.cat([encoder.network(images) for images in loader])
        return torch.nn.functional.normalize(vectors).numpy()


def bare_encoder(encoder: Encoder, images: int) -> None:
    side = encoder.preprocess.crop
    batch = torch.zeros(BATCH, side, side, 3, dtype=torch.uint8)
    for start in range(0, images, BATCH):
        encoder.encode(batch[: min(BATCH, images - start)], resolve_precision("auto", CPU))


def bare_decoder(worker: Worker, entries: Sequence[Entry]) -> None:
    for batch in worker._decoded_batches(entries):
        assert all(image.pixels is not None for image in batch)


def peak_memory(spec: str, name: str, images: int) -> dict[str, int]:
    """Peak memory of a whole `miner embed` process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "miner",
            "embed",
            spec,
            "--encoder",
            name,
            "--limit",
            str(images),
            "-w",
            folder,
        ]
        subprocess.run([*command, "--block-size", "256"], check=True, capture_output=True)
        log = json.loads((Path(folder) / "run.json").read_text())
    return {"images": images, "peak_memory_mb": log["stages"]["embed"]["measured"]["peak_memory_mb"]}


def miner_embed(spec: str, name: str, limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        embed(
            EmbedOptions(source=spec, encoder=name, limit=limit, device="cpu"),
            Workspace(Path(folder)),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample")
    parser.add_argument("--encoder", default="efficientnet_lite0")
    parser.add_argument("--limit", type=int, default=512)
    parser.add_argument("--memory-images", type=int, default=180)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    source, encoder = open_source(options.source), load_encoder(options.encoder, CPU)
    images = min(options.limit, len(source.entries))
    worker = Worker(EmbedOptions(source=options.source, encoder=options.encoder, device="cpu"), source)
    miner_embed(options.source, options.encoder, BATCH)  # loads the network; every side is warm
    sides = {
        "miner_embed": lambda: miner_embed(options.source, options.encoder, images),
        "plain_script_fp32": lambda: plain_script(source, encoder, images),
        "bare_encoder": lambda: bare_encoder(encoder, images),
        "bare_decoder": lambda: bare_decoder(worker, source.entries[:images]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.repeats):
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - started)
    timings = {
        name: {**summary(values), "images_per_s": images / float(np.median(values))} for name, values in seconds.items()
    }
    ratio = {
        f"miner_embed_over_{name}": float(
            np.median([b / a for a, b in zip(seconds["miner_embed"], seconds[name], strict=True)])
        )
        for name in ("plain_script_fp32", "bare_encoder", "bare_decoder")
    }
    memory = [peak_memory(options.source, options.encoder, options.memory_images * factor) for factor in (1, 4, 16)]
    name, threads = options.encoder.partition("@")[0], torch.get_num_threads()
    data = {"source": Path(options.source).name, "images": images, "encoder": name}
    publish(f"embed-{data['source']}-{name}", {"data": data, "threads": threads, **timings, **ratio, "memory": memory})


if __name__ == "__main__":
    main()
