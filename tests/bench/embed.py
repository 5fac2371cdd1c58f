"""`miner embed` against a plain script and against the bare encoder, on a folder of images.

    python tests/bench/embed.py --source FOLDER

The plain script is what one writes first: torchvision ImageFolder-style decoding in a DataLoader, the same network, float32. The
bare encoder is the forward pass on ready tensors in the precision that miner chooses. The three take turns.
"""

import argparse
import io
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from record import publish, summary
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from miner.device import resolve_precision
from miner.embed.encoders import Encoder, load_encoder
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.source import Source, open_source
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


def miner_embed(spec: str, name: str, limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        embed(
            EmbedOptions(source=spec, encoder=name, limit=limit, device="cpu", batch_size=BATCH),
            Workspace(Path(folder)),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample")
    parser.add_argument("--encoder", default="efficientnet_lite0")
    parser.add_argument("--limit", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    source, encoder = open_source(options.source), load_encoder(options.encoder, CPU)
    images = min(options.limit, len(source.entries))
    sides = {
        "miner_embed": lambda: miner_embed(options.source, options.encoder, images),
        "plain_script_fp32": lambda: plain_script(source, encoder, images),
        "bare_encoder": lambda: bare_encoder(encoder, images),
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
        for name in ("plain_script_fp32", "bare_encoder")
    }
    data = {"source": Path(options.source).name, "images": images, "encoder": options.encoder}
    publish(
        f"embed-{Path(options.source).name}", {"data": data, "threads": torch.get_num_threads(), **timings, **ratio}
    )


if __name__ == "__main__":
    main()
