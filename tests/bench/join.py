"""The exact join against FAISS range search, on stored vectors of real images.

    python tests/bench/join.py --workspace datasets_out/cifar10 --min 0.8 0.85 0.9

Both sides start from the stored float16 vectors in memory and end with all pairs i < j at or above the threshold. FAISS is
called as its documentation shows: one range search of all vectors, then i < j. The two take turns; the pair sets are compared.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import publish, summary

from miner.embeddings import EmbeddingStore
from miner.pairs.exact import ExactEngine
from miner.pairs.join import BandJoin
from miner.pairs.similarity import unit_rows
from miner.workspace import Workspace

Pairs = tuple[np.ndarray, np.ndarray]


def ours(vectors: np.ndarray, low: float) -> Pairs:
    with tempfile.TemporaryDirectory() as folder:
        join = BandJoin(ExactEngine(unit_rows(vectors), torch.device("cpu"), low), vectors, 10**8)
        a, b, _ = join.run(Path(folder))
    return a, b


def faiss_range_search(vectors: np.ndarray, low: float) -> Pairs:
    import faiss

    units = vectors.astype(np.float32)
    faiss.normalize_L2(units)
    index = faiss.IndexFlatIP(units.shape[1])
    index.add(units)
    limits, _, neighbours = index.range_search(units, low)
    a = np.repeat(np.arange(len(units)), np.diff(limits.astype(np.int64)))
    return a[neighbours > a], neighbours[neighbours > a]


def compare(vectors: np.ndarray, low: float, repeats: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {"ours": [], "faiss_range_search": []}
    found: dict[str, set[int]] = {}
    for _ in range(repeats):
        for name, method in (("ours", ours), ("faiss_range_search", faiss_range_search)):
            started = time.perf_counter()
            a, b = method(vectors, low)
            seconds[name].append(time.perf_counter() - started)
            found[name] = set((a.astype(np.int64) * len(vectors) + b).tolist())
    ratios = [theirs / mine for mine, theirs in zip(seconds["ours"], seconds["faiss_range_search"], strict=True)]
    return {
        "min": low,
        "pairs": len(found["ours"]),
        "pairs_that_differ": len(found["ours"] ^ found["faiss_range_search"]),
        **{name: summary(values) for name, values in seconds.items()},
        "times_faster_than_faiss": float(np.median(ratios)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("datasets_out/demo"))
    parser.add_argument("--min", type=float, nargs="+", default=[0.8, 0.85, 0.9])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    store = EmbeddingStore(Workspace(options.workspace))
    data = {
        "source": store.manifest["source"]["spec"],
        "encoder": store.manifest["encoder"]["name"],
        "images": len(store),
        "dim": store.vectors.shape[1],
    }
    bands = [compare(store.vectors, low, options.repeats) for low in options.min]
    publish(f"join-{options.workspace.name}", {"data": data, "threads": torch.get_num_threads(), "bands": bands})


if __name__ == "__main__":
    main()
