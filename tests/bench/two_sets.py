"""Pairs between two sets of stored vectors: the exact search against FAISS's flat index and plain products.

    python tests/bench/two_sets.py --workspace datasets_out/cifar10 --rows 10000 --min 0.86 0.8 0.75 --k 10

Set A is the first --rows of a permutation (seed 0) of the stored vectors, set B all of them. For --min, all pairs of a row
of A and a row of B at or above a cosine; for --k, the k most similar rows of B of each row of A. Every timing is of a
process of its own that has imported what it needs: from opening two .npy files to a written Parquet table, with the same
number of threads. The methods take turns, and their results are compared. A pair or an entry that differs only by what
float32 rounds does not count.
"""

import argparse
import itertools
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
from peers import write
from record import publish, summary

import miner
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace

_OURS, _FLAT, _TILES = "miner", "faiss flat index", "torch tiles"
_ROUNDING = 1e-6
_WARM_ROWS = 2000
Found = tuple[np.ndarray, np.ndarray, np.ndarray]  # a, b, cosine


def ours(a: np.ndarray, b: np.ndarray, low: float | None, k: int) -> Found:
    if low is not None:
        return miner.band_join(a, low, 1.0, against=b, max_pairs=10**9)
    return as_pairs(*miner.nearest(a, k, against=b))


def faiss_flat(a: np.ndarray, b: np.ndarray, low: float | None, k: int) -> Found:
    """`range_search`, or `search` for the k nearest."""
    import faiss

    one, other = unit_rows(a), unit_rows(b)
    index = faiss.IndexFlatIP(other.shape[1])
    index.add(other)
    if low is None:
        return as_pairs(*reversed(index.search(one, k)))
    limits, cosines, ids = index.range_search(one, low)
    return np.repeat(np.arange(len(one)), np.diff(limits.astype(np.int64))), ids, cosines


def torch_tiles(a: np.ndarray, b: np.ndarray, low: float | None, k: int, tile: int = 2048) -> Found:
    one, other = (torch.from_numpy(unit_rows(rows)) for rows in (a, b))
    if low is None:
        best = [(part @ other.T).topk(k, dim=1) for part in one.split(tile)]
        return as_pairs(
            *(torch.cat(column).numpy() for column in zip(*[tuple(each)[::-1] for each in best], strict=True))
        )
    found = []
    for top, left in itertools.product(range(0, len(one), tile), range(0, len(other), tile)):
        scores = one[top : top + tile] @ other[left : left + tile].T
        rows, columns = (scores >= low).nonzero(as_tuple=True)
        found.append((rows + top, columns + left, scores[rows, columns]))
    rows, columns, cosines = (torch.cat(parts).numpy() for parts in zip(*found, strict=True))
    return rows, columns, cosines


METHODS = {_OURS: ours, _FLAT: faiss_flat, _TILES: torch_tiles}


def as_pairs(ids: np.ndarray, cosines: np.ndarray) -> Found:
    return np.repeat(np.arange(len(ids)), ids.shape[1]), ids.ravel(), cosines.ravel()


def unit_rows(rows: np.ndarray) -> np.ndarray:
    import faiss

    units = rows.astype(np.float32)
    faiss.normalize_L2(units)
    return units


def once(method: str, folder: str, low: str, k: str, result: str) -> None:
    """The timed part, after a small run that imports everything."""
    files, limit = [Path(folder) / f"{name}.npy" for name in "ab"], None if low == "None" else float(low)
    METHODS[method](*(np.load(file)[:_WARM_ROWS] for file in files), limit, int(k))
    started = time.perf_counter()
    write(Path(result), *METHODS[method](*map(np.load, files), limit, int(k)))
    print(json.dumps(time.perf_counter() - started))


def differences(mine: Path, theirs: Path, low: float | None) -> int:
    """Pairs in one table only, but for cosines at the limit; of lists, entries of another cosine."""
    one, other = (pq.read_table(path).to_pydict() for path in (mine, theirs))
    if low is None:
        return int((np.abs(np.subtract(one["similarity"], other["similarity"])) > _ROUNDING).sum())
    sets = [dict(zip(zip(each["a"], each["b"], strict=True), each["similarity"], strict=True)) for each in (one, other)]
    alone = sets[0].keys() ^ sets[1].keys()
    return sum(abs((sets[0] | sets[1])[pair] - low) > _ROUNDING for pair in alone)


def compare(folder: Path, low: float | None, k: int, repeats: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {method: [] for method in METHODS}
    results = {method: folder / f"{number}.parquet" for number, method in enumerate(METHODS)}
    for _, method in itertools.product(range(repeats), METHODS):
        arguments = [sys.executable, __file__, "--once", method, str(folder), str(low), str(k), str(results[method])]
        answer = subprocess.run(arguments, capture_output=True, text=True, check=False)
        if answer.returncode:
            raise RuntimeError(f"{method}: {answer.stderr[-2000:]}")
        seconds[method].append(json.loads(answer.stdout.splitlines()[-1]))
        print(f"min {low}, k {k}, {method}: {seconds[method][-1]:.2f} s", file=sys.stderr, flush=True)
    mine = summary(seconds[_OURS])["median_s"]
    return {
        **({"k": k} if low is None else {"min": low, "pairs": pq.read_metadata(results[_OURS]).num_rows}),
        "methods": {
            method: {
                **summary(times),
                "miner_is_faster_by": summary(times)["median_s"] / mine,
                "differences": differences(results[_OURS], results[method], low),
            }
            for method, times in seconds.items()
        },
    }


def main() -> None:
    if sys.argv[1:2] == ["--once"]:
        once(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("datasets_out/demo"))
    parser.add_argument("--rows", type=int, default=10_000, help="rows of set A")
    parser.add_argument("--limit", type=int, help="only the first so many stored vectors")
    parser.add_argument("--min", type=float, nargs="*", default=[0.9, 0.85, 0.8])
    parser.add_argument("--k", type=int, nargs="*", default=[])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    store = EmbeddingStore(Workspace(options.workspace))
    b = store.vectors[: options.limit]
    a = b[np.random.default_rng(0).permutation(len(b))[: options.rows]]
    data = {"encoder": store.manifest.encoder.name, "dim": store.stored.dim, "rows_a": len(a), "rows_b": len(b)}
    with tempfile.TemporaryDirectory() as scratch:
        for name, rows in (("a", a), ("b", b)):
            np.save(Path(scratch) / f"{name}.npy", rows)
        searches = [(low, 1) for low in options.min] + [(None, k) for k in options.k]
        found = [compare(Path(scratch), low, k, options.repeats) for low, k in searches]
    publish(f"two-sets-{options.workspace.name}", {"data": data, "threads": torch.get_num_threads(), "searches": found})


if __name__ == "__main__":
    main()
