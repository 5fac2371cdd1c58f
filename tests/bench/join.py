"""All pairs of stored vectors at or above a cosine: the exact join against what people use instead.

    python tests/bench/join.py --workspace datasets_out/cifar10 --min 0.86 0.8 0.75 --slow 0.8

Every timing is of a process of its own that has imported what it needs: from opening the stored vectors to closing a Parquet
table of the pairs, with the same number of threads. The methods take turns; the pair sets are compared. Slow peers run once, at the
bands of --slow only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from peers import METHODS, NEIGHBOURS
from record import RESULTS, publish, summary

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace

_OURS = "miner, the join"
_SLOW = (
    f"faiss {NEIGHBOURS} neighbours",
    "torch tiles",
    "scikit-learn radius_neighbors",
    "sentence-transformers paraphrase_mining",
)


def run_once(method: str, workspace: Path, low: float, result: Path) -> float:
    """Seconds of one method in a fresh process."""
    arguments = [sys.executable, __file__, "--once", method, str(workspace), str(low), str(result)]
    answer = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"{method}: {answer.stderr[-2000:]}")
    return float(json.loads(answer.stdout.splitlines()[-1]))


def once(method: str, workspace: str, low: str, result: str) -> None:
    """The timed part, after a small run that imports everything."""
    with tempfile.TemporaryDirectory() as folder:
        METHODS[method](small_copy(Path(workspace), Path(folder)), float(low), Path(folder) / "warm.parquet")
    started = time.perf_counter()
    METHODS[method](Path(workspace), float(low), Path(result))
    print(json.dumps(time.perf_counter() - started))


def small_copy(workspace: Path, folder: Path) -> Path:
    """The first block of the embeddings as a workspace of its own."""
    source = workspace / "embeddings"
    manifest = json.loads((source / "manifest.json").read_text())
    for name in ("img_emb/img_emb_00000.npy", "metadata/metadata_00000.parquet"):
        (folder / "embeddings" / name).parent.mkdir(parents=True)
        (folder / "embeddings" / name).symlink_to((source / name).resolve())
    rows = len(np.load(source / "img_emb/img_emb_00000.npy", mmap_mode="r"))
    (folder / "embeddings" / "manifest.json").write_text(json.dumps({**manifest, "blocks": 1, "count": rows}))
    return folder


def pair_set(result: Path, images: int) -> np.ndarray:
    table = pq.read_table(result, columns=["a", "b"])
    return np.sort(table["a"].to_numpy() * images + table["b"].to_numpy())


def compare(workspace: Path, images: int, low: float, methods: list[str], repeats: int, folder: Path) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {method: [] for method in methods}
    pairs: dict[str, np.ndarray] = {}
    for repeat in range(repeats):
        for number, method in enumerate(methods):
            if method in _SLOW and repeat:
                continue
            result = folder / f"{low}-{repeat}-{number}.parquet"
            seconds[method].append(run_once(method, workspace, low, result))
            pairs[method] = pair_set(result, images)
            print(
                f"{low:g} {method}: {seconds[method][-1]:.2f} s, {len(pairs[method]):,} pairs",
                file=sys.stderr,
                flush=True,
            )
    mine = float(np.median(seconds[_OURS]))
    return {
        "min": low,
        "pairs": len(pairs[_OURS]),
        "pairs_per_image": len(pairs[_OURS]) / images,
        "methods": {
            method: {
                **summary(seconds[method]),
                "pairs_missing": len(np.setdiff1d(pairs[_OURS], pairs[method])),
                "pairs_too_many": len(np.setdiff1d(pairs[method], pairs[_OURS])),
                "miner_is_faster_by": float(np.median(seconds[method])) / mine,
            }
            for method in methods
        },
    }


def draw(bands: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = [name for name in METHODS if any(name in band["methods"] for band in bands)]
    figure, axis = plt.subplots(figsize=(8, 0.55 * len(names) * len(bands) ** 0.5 + 1.4))
    height = 0.8 / len(bands)
    for number, band in enumerate(bands):
        for place, name in enumerate(names):
            if name in band["methods"]:
                axis.barh(
                    place + (number - (len(bands) - 1) / 2) * height,
                    band["methods"][name]["median_s"],
                    height * 0.9,
                    color=f"C{number}",
                    label=f"min {band['min']:g}: {band['pairs']:,} pairs" if place == 0 else None,
                )
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    axis.set_xticks([], minor=True)
    axis.set_xlim(left=min(values["min_s"] for band in bands for values in band["methods"].values()) / 2)
    axis.set_xlabel("seconds, from stored vectors to the written table")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    if sys.argv[1:2] == ["--once"]:
        once(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("datasets_out/demo"))
    parser.add_argument("--min", type=float, nargs="+", default=[0.9, 0.85, 0.8])
    parser.add_argument("--slow", type=float, nargs="*", default=[], help="bands at which slow peers run too")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    store = EmbeddingStore(Workspace(options.workspace))
    data = {
        "source": store.manifest.source.spec,
        "encoder": store.manifest.encoder.name,
        "images": len(store),
        "dim": store.stored.dim,
    }
    bands = []
    with tempfile.TemporaryDirectory() as folder:
        for low in options.min:
            methods = [name for name in METHODS if name not in _SLOW or low in options.slow]
            bands.append(compare(options.workspace, len(store), low, methods, options.repeats, Path(folder)))
    name = f"join-{options.workspace.name}"
    draw(bands, RESULTS / f"{name}.png")
    publish(name, {"data": data, "threads": torch.get_num_threads(), "bands": bands})


if __name__ == "__main__":
    main()
