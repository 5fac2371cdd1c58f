"""The k nearest neighbours of all stored vectors: the exact graph against what people use instead.

    python tests/bench/neighbours.py --workspace datasets_out/cifar10 --k 10 --dim 1280

Every timing is of a process of its own that has imported what it needs: from opening the stored vectors to two written arrays, ids
and similarities, with the same number of threads. The methods take turns. Exact ones are compared list by list; an entry counts as
other only where its similarity differs too, by more than float32 rounds. Approximate ones say their recall of the exact lists.
PyNNDescent has to be installed for its turn (`pip install pynndescent`).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from record import publish, summary

_OURS = "miner, the neighbour graph"
_ROUNDING = 1e-6
Lists = tuple[np.ndarray, np.ndarray]


def stored(workspace: Path, dim: int) -> np.ndarray:
    files = sorted((workspace / "embeddings" / "img_emb").glob("*.npy"))
    return np.ascontiguousarray(np.concatenate([np.load(path) for path in files])[:, :dim])


def ours(path: Path, k: int, folder: Path) -> None:
    from miner.artifacts.embeddings.vectors import MemoryVectors
    from miner.pairs.neighbours.graph import NeighbourGraph

    NeighbourGraph(MemoryVectors(np.load(path)), k).write(folder, folder / "parts")


def candidates_of_faiss(path: Path, k: int, folder: Path) -> None:
    """Candidates of FAISS, settled in float64: how the graph was made before."""
    from miner.artifacts.embeddings.vectors import MemoryVectors
    from miner.pairs.neighbours.graph import NeighbourGraph

    graph = NeighbourGraph(MemoryVectors(np.load(path)), k)
    parts = [
        graph.nearest(start, min(start + 4096, len(graph.vectors))) for start in range(0, len(graph.vectors), 4096)
    ]
    write(folder, *(np.concatenate(part) for part in zip(*parts, strict=True)))


def faiss_flat(path: Path, k: int, folder: Path) -> None:
    import faiss

    units = unit_vectors(path)
    index = faiss.IndexFlatIP(units.shape[1])
    index.add(units)
    write(folder, *without_self(*index.search(units, k + 1)))


def faiss_hnsw(path: Path, k: int, folder: Path) -> None:
    import faiss

    units = unit_vectors(path)
    index = faiss.IndexHNSWFlat(units.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.add(units)
    index.hnsw.efSearch = 64
    write(folder, *without_self(*index.search(units, k + 1)))


def faiss_ivf(path: Path, k: int, folder: Path) -> None:
    import faiss

    units = unit_vectors(path)
    cells = int(4 * len(units) ** 0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(units.shape[1]), units.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
    index.train(units)
    index.add(units)
    index.nprobe = max(cells // 16, 1)
    write(folder, *without_self(*index.search(units, k + 1)))


def nn_descent(path: Path, k: int, folder: Path) -> None:
    import pynndescent

    index = pynndescent.NNDescent(
        unit_vectors(path), metric="cosine", n_neighbors=k + 1, n_jobs=torch.get_num_threads()
    )
    ids, distances = index.neighbor_graph
    write(folder, *without_self(1 - distances, ids))


def torch_tiles(path: Path, k: int, folder: Path) -> None:
    units = torch.from_numpy(unit_vectors(path))
    best = [(part @ units.T).topk(k + 1, dim=1) for part in units.split(2048)]
    scores, ids = (torch.cat(column).numpy() for column in zip(*best, strict=True))
    write(folder, *without_self(scores, ids))


METHODS: dict[str, Callable[[Path, int, Path], None]] = {
    _OURS: ours,
    "candidates of FAISS, settled in float64": candidates_of_faiss,
    "faiss flat search": faiss_flat,
    "torch tiles and topk": torch_tiles,
    "faiss HNSW (approximate)": faiss_hnsw,
    "faiss IVF (approximate)": faiss_ivf,
    "PyNNDescent (approximate)": nn_descent,
}


def unit_vectors(path: Path) -> np.ndarray:
    import faiss

    units = np.load(path).astype(np.float32)
    faiss.normalize_L2(units)
    return units


def without_self(scores: np.ndarray, ids: np.ndarray) -> Lists:
    """Lists of k out of those of k + 1, without the row itself; where a tie hid the row, without the last."""
    rows = np.arange(len(ids))[:, None]
    drop = np.where((ids == rows).any(axis=1), (ids == rows).argmax(axis=1), ids.shape[1] - 1)
    keep = np.arange(ids.shape[1]) != drop[:, None]
    return ids[keep].reshape(len(ids), -1), scores[keep].reshape(len(ids), -1)


def write(folder: Path, ids: np.ndarray, similarities: np.ndarray) -> None:
    np.save(folder / "knn_ids.npy", ids.astype(np.int64))
    np.save(folder / "knn_sims.npy", similarities.astype(np.float32))


def once(method: str, path: str, k: str, folder: str) -> None:
    """The timed part, after a small run that imports everything."""
    with tempfile.TemporaryDirectory() as small:
        np.save(Path(small) / "small.npy", np.load(path, mmap_mode="r")[:2000])
        METHODS[method](Path(small) / "small.npy", int(k), Path(small))
    started, cpu = time.perf_counter(), time.process_time()
    METHODS[method](Path(path), int(k), Path(folder))
    print(json.dumps([time.perf_counter() - started, time.process_time() - cpu]))


def against(mine: Lists, theirs: Lists) -> dict[str, float]:
    """How many entries are others, and the share of our entries that are found."""
    both = [np.sort(ids, axis=1) for ids in (mine[0], theirs[0])]
    found = np.mean([np.isin(a, b, assume_unique=True).mean() for a, b in zip(*both, strict=True)])
    other = (mine[0] != theirs[0]) & (np.abs(mine[1] - theirs[1]) > _ROUNDING)
    return {"recall": float(found), "entries_that_differ": int(other.sum())}


def main() -> None:
    if sys.argv[1:2] == ["--once"]:
        once(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("datasets_out/demo"))
    parser.add_argument("--k", type=int, nargs="+", default=[10])
    parser.add_argument("--dim", type=int, default=10**6, help="only so many dimensions, the first ones")
    parser.add_argument("--images", type=int, default=10**9)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    vectors = stored(options.workspace, options.dim)[: options.images]
    sizes = []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "vectors.npy"
        np.save(path, vectors)
        for k in options.k:
            times: dict[str, list[list[float]]] = {method: [] for method in options.methods}
            lists: dict[str, Lists] = {}
            for repeat in range(options.repeats):
                for method in options.methods:
                    folder = Path(scratch) / f"{k}-{repeat}-{len(lists)}-{options.methods.index(method)}"
                    folder.mkdir()
                    command = [sys.executable, __file__, "--once", method, str(path), str(k), str(folder)]
                    answer = subprocess.run(command, capture_output=True, text=True, check=False)
                    if answer.returncode:
                        raise RuntimeError(f"{method}: {answer.stderr[-2000:]}")
                    times[method].append(json.loads(answer.stdout.splitlines()[-1]))
                    lists[method] = tuple(np.load(folder / f"knn_{name}.npy") for name in ("ids", "sims"))
                    print(f"k = {k}, {method}: {times[method][-1]} s of wall and processor time", file=sys.stderr)
            mine = float(np.median([wall for wall, _ in times[_OURS]]))
            sizes.append(
                {
                    "k": k,
                    "methods": {
                        method: {
                            **summary([wall for wall, _ in measured]),
                            "median_processor_s": float(np.median([cpu for _, cpu in measured])),
                            "miner_is_faster_by": float(np.median([wall for wall, _ in measured])) / mine,
                            **against(lists[_OURS], lists[method]),
                        }
                        for method, measured in times.items()
                    },
                }
            )
    data = {"images": len(vectors), "dim": vectors.shape[1]}
    name = f"neighbours-{options.workspace.name}-{vectors.shape[1]}"
    publish(name, {"data": data, "threads": torch.get_num_threads(), "lists": sizes})


if __name__ == "__main__":
    main()
