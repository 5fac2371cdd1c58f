"""Recall and precision of `miner leaks` on made leaks of known kinds, beside other tools.

    python tests/bench/leaks.py --source sample FOLDER_OR_SHARDS --peers-python PATH

The classes of a source are halved: images of one half are TRAIN, those of the other are TEST. Copies of TRAIN images, each
changed in a known way, are planted in TEST. Recall: the share of the planted pairs that a tool lists. Precision: the share of the
listed pairs that were planted. Peers run with the interpreter --peers-python; one that is not installed there is named with its
error.
"""

import argparse
import csv
import io
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance
from record import publish

from miner.api.opened import open_workspace
from miner.artifacts.workspace import Workspace
from miner.images.decode import decode_image
from miner.leaks.options import KINDS, LeaksOptions
from miner.leaks.run import find_leaks
from miner.source import open_source

PEERS = ("imagededup PHash", "imagededup CNN", "fiftyone leaky splits", "fastdup")
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def cropped(share: float) -> Change:
    def crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        width, height = (max(1, round(side * share**0.5)) for side in image.size)
        left, top = (
            int(rng.integers(0, whole - part + 1)) for whole, part in zip(image.size, (width, height), strict=True)
        )
        return image.crop((left, top, left + width, top + height))

    return crop


def recoloured(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Color(ImageEnhance.Contrast(image).enhance(0.7)).enhance(0.4)


# What is done to an image, and the format of the copy; None leaves the file as it is.
CHANGES: dict[str, tuple[Change | None, str, dict[str, Any]]] = {
    "byte copy": (None, "", {}),
    "PNG of the same pixels": (lambda image, _: image, "PNG", {}),
    **{f"JPEG quality {q}": (lambda image, _: image, "JPEG", {"quality": q}) for q in (90, 60, 30)},
    "resized to 50 %": (
        lambda image, _: image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.BICUBIC),
        "JPEG",
        {"quality": 90},
    ),
    "mirrored": (lambda image, _: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "JPEG", {"quality": 90}),
    "cropped to 80 %": (cropped(0.8), "JPEG", {"quality": 90}),
    "cropped to 60 %": (cropped(0.6), "JPEG", {"quality": 90}),
    "brightness +40 %": (lambda image, _: ImageEnhance.Brightness(image).enhance(1.4), "JPEG", {"quality": 90}),
    "colour and contrast": (recoloured, "JPEG", {"quality": 90}),
    "rotated by 5 degrees": (lambda image, _: image.rotate(5, Image.Resampling.BICUBIC), "JPEG", {"quality": 90}),
}
RIGHT_KIND = {"byte copy": "bytes", "PNG of the same pixels": "pixels"}  # the others are near


def make_sets(spec: str, folder: Path, images: int, copies: int) -> dict[tuple[str, str], str]:
    """Write train/ and test/; returns what was done, by the names of the two images."""
    source, rng = open_source(spec), np.random.default_rng(0)
    entries = [source.entries[number] for number in rng.permutation(len(source.entries))]
    halves = [[entry for entry in entries if (entry.label or 0) % 2 == half] for half in (0, 1)]
    train, test = halves[0][:images], halves[1][: images // 2]
    for name, part in (("train", train), ("test", test)):
        (folder / name).mkdir(parents=True)
        for entry in part:
            (folder / name / f"{entry.key}.{entry.extension}").write_bytes(source.read(entry))
    planted, number = {}, 0
    for kind, (change, format_, how) in CHANGES.items():
        for _ in range(copies):
            entry = train[number % len(train)]
            data, ending = source.read(entry), entry.extension
            if change is not None:
                stream = io.BytesIO()
                change(decode_image(data), rng).save(stream, format_, **how)
                data, ending = stream.getvalue(), format_.lower()
            name = f"copy-{number:04d}.{ending}"
            (folder / "test" / name).write_bytes(data)
            planted[f"train/{entry.key}.{entry.extension}", f"test/{name}"] = kind
            number += 1
    return planted


def ours(folder: Path, workspace: Path) -> tuple[dict[tuple[str, str], str], float]:
    """The kind of each pair, and the seconds with the embedding."""
    started = time.perf_counter()
    options = LeaksOptions.parse({"sources": [str(folder / "train"), str(folder / "test")]})
    find_leaks(options, Workspace(workspace))
    seconds = time.perf_counter() - started
    with (workspace / "leaks/leaks.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return {(f"train/{row['path_a']}", f"test/{row['path_b']}"): row["kind"] for row in rows}, seconds


def write_vectors(workspace: Path, target: Path) -> None:
    names, vectors = [], []
    for made in sorted((workspace / "sets").iterdir()):
        store = open_workspace(made).embeddings
        part = "train" if store.manifest.source.spec.endswith("train") else "test"
        names += [f"{part}/{path}" for path in store.metadata["path"].to_pylist()]
        vectors.append(store.vectors.astype(np.float32))
    np.savez(target, names=np.array(names), vectors=np.concatenate(vectors))


def peer(name: str, python: str, folder: Path) -> tuple[Any, float]:
    started, result = time.perf_counter(), folder.parent / "result.json"
    result.write_text(json.dumps({"absent": "it ended without an answer"}))
    script = Path(__file__).with_name("leaks_peers.py")
    subprocess.run([python, str(script), name, str(folder), str(result)], check=False, stdout=subprocess.DEVNULL)
    answer = json.loads(result.read_text())
    pairs = answer if isinstance(answer, dict) else {(one, other) for one, other in answer}
    return pairs, time.perf_counter() - started


def scores(found: set[tuple[str, str]], planted: dict[tuple[str, str], str]) -> dict[str, Any]:
    hits = Counter(planted[pair] for pair in found if pair in planted)
    totals = Counter(planted.values())
    right = sum(hits.values())
    return {
        "recall": {kind: round(hits[kind] / totals[kind], 3) for kind in totals},
        "recall_all": round(right / len(planted), 3),
        "precision": round(right / len(found), 3) if found else None,
        "pairs": len(found),
    }


def by_kind(found: dict[tuple[str, str], str], planted: dict[tuple[str, str], str]) -> dict[str, Any]:
    """For each kind that is reported: pairs, and how many were planted. For each planted kind: the share that got its name."""
    reported = {
        kind: {
            "pairs": sum(value == kind for value in found.values()),
            "planted": sum(value == kind and pair in planted for pair, value in found.items()),
        }
        for kind in KINDS
    }
    totals = Counter(planted.values())
    named = Counter(kind for pair, kind in planted.items() if found.get(pair) == RIGHT_KIND.get(kind, "near"))
    unplanted = [[*pair, kind] for pair, kind in sorted(found.items()) if pair not in planted]
    return {
        "reported": reported,
        "named_rightly": {kind: round(named[kind] / totals[kind], 3) for kind in totals},
        "unplanted": unplanted[:20],
    }


def measure(spec: str, options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        folder, workspace = Path(scratch) / "sets", Path(scratch) / "workspace"
        planted = make_sets(spec, folder, options.images, options.copies)
        found, seconds = ours(folder, workspace)
        counts = {part: len(list((folder / part).iterdir())) for part in ("train", "test")}
        tools = {
            "miner leaks": {**scores(set(found), planted), **by_kind(found, planted), "seconds": round(seconds, 1)}
        }
        sure = {pair for pair, kind in found.items() if kind != "scene"}
        tools["miner leaks --up-to near"] = scores(sure, planted)
        write_vectors(workspace, folder / "vectors.npz")
        for name in PEERS:
            pairs, seconds = peer(name, options.peers_python, folder)
            absent = isinstance(pairs, dict)
            tools[name] = pairs if absent else {**scores(pairs, planted), "seconds": round(seconds, 1)}
        return {"images": counts, "planted_of_each_kind": options.copies, "tools": tools}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", nargs="+", default=["sample"])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--copies", type=int, default=40)
    parser.add_argument("--peers-python", default=sys.executable)
    options = parser.parse_args()
    publish("leaks", {"sources": {Path(spec).name: measure(spec, options) for spec in options.source}})


if __name__ == "__main__":
    main()
