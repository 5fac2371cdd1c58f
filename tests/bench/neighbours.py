"""The k nearest neighbours of all stored vectors: the exact graph against what people use instead.

    python tests/bench/neighbours.py --workspace datasets_out/cifar10 --k 5 10 50 --width 1280 512 --methods ours flat --mutual 5
    python tests/bench/neighbours.py --workspace datasets_out/cifar10-views --limit 50000 --width 512 --repeats 1
        --growth 25000 50000 100000 200000

Every timing is of a process of its own that has imported what it needs: from opening the stored vectors to two written arrays, ids
and similarities, with the same number of threads. The methods take turns, the approximate ones once. An exact method is compared
list by list; an entry counts as other only where its similarity differs too, by more than float32 rounds. An approximate method
tries its settings in ascending order until its recall of the exact lists is 0.98. Its seconds are those of the index and of the
last setting. PyNNDescent has to be installed for its turn (`pip install pynndescent`).

--width below the stored dimension: rows times a random orthonormal basis (QR of normal numbers, seed 0), scaled to length 1.
--growth: random subsets, each within the next, of the first k and the last width; a record of its own. Beyond the stored number
(`views.py` makes 200,000 images), stored rows are repeated with noise of 0.3 of their length (`memory.py`). --mutual k: seconds
and peak memory of `miner pairs --rule mutual`. The record names the instruction sets of torch, FAISS and their BLAS. Variables of
the environment lower them: ATEN_CPU_CAPABILITY=avx2, ONEDNN_MAX_CPU_ISA=AVX2, FAISS_OPT_LEVEL=avx2, OPENBLAS_CORETYPE=Haswell.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from growth import exponent
from join import small_copy
from memory import make, status
from record import publish, summary

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.workspace import Workspace
from miner.machine.device import has_native_bf16

_OURS, _FLAT = "miner, the neighbour graph", "faiss flat search"
_ROUNDING = 1e-6
_RECALL = 0.98
_MADE = {
    "width": "rows times a random orthonormal basis (QR of normal numbers, seed 0), scaled to length 1, where narrower than stored",
    "growth": "random subsets, each within the next; beyond the stored rows, repeated ones with noise of 0.3 of their length",
    "seconds_of_approximate_methods": "those of the index and of the first setting with a recall of 0.98, or the last one tried",
}
_CEILING = 0.946  # of the mutual pairs, as calibrated on CIFAR-10
_LOWERING = ("_CPU_ISA", "_CPU_CAPABILITY", "_OPT_LEVEL", "_CORETYPE", "_CPU_FEATURES", "_ENABLE_INSTRUCTIONS")
Lists = tuple[np.ndarray, np.ndarray]
Settings = Iterator[tuple[int | None, Callable[[], Lists]]]


def ours(path: Path, k: int) -> Settings:
    from miner.pairs.neighbours.graph import NeighbourGraph

    def lists() -> Lists:
        with tempfile.TemporaryDirectory() as folder:
            files = NeighbourGraph(MemoryVectors(np.load(path)), k).write(Path(folder), Path(folder) / "parts")
            ids, similarities = map(np.load, files)
        return ids, similarities

    yield None, lists


def faiss_flat(path: Path, k: int) -> Settings:
    import faiss

    units = unit_vectors(path)
    index = faiss.IndexFlatIP(units.shape[1])
    index.add(units)
    yield None, lambda: without_self(*index.search(units, k + 1))


def torch_tiles(path: Path, k: int) -> Settings:
    units = torch.from_numpy(unit_vectors(path))

    def lists() -> Lists:
        best = [(part @ units.T).topk(k + 1, dim=1) for part in units.split(2048)]
        return without_self(*(torch.cat(column).numpy() for column in zip(*best, strict=True)))

    yield None, lists


def faiss_hnsw(path: Path, k: int) -> Settings:
    import faiss

    units = unit_vectors(path)
    index = faiss.IndexHNSWFlat(units.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.add(units)
    for effort in doubled(max(16, k + 1), 4096):
        index.hnsw.efSearch = effort
        yield effort, lambda: without_self(*index.search(units, k + 1))


def faiss_ivf(path: Path, k: int) -> Settings:
    import faiss

    units = unit_vectors(path)
    cells = int(4 * len(units) ** 0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(units.shape[1]), units.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
    index.train(units)
    index.add(units)
    for probes in doubled(8, cells):
        index.nprobe = probes
        yield probes, lambda: without_self(*index.search(units, k + 1))


def nn_descent(path: Path, k: int) -> Settings:
    """Its settings are the neighbours in the graph that it improves; each makes a graph of its own."""
    import pynndescent

    units = unit_vectors(path)

    def lists(neighbours: int) -> Lists:
        index = pynndescent.NNDescent(units, metric="cosine", n_neighbors=neighbours, n_jobs=torch.get_num_threads())
        ids, distances = index.neighbor_graph
        return without_self(1 - distances[:, : k + 1], ids[:, : k + 1])

    for neighbours in doubled(k + 1, 8 * (k + 1)):
        yield neighbours, lambda neighbours=neighbours: lists(neighbours)


EXACT = {_OURS: ours, _FLAT: faiss_flat, "torch tiles and topk": torch_tiles}
_SHORT = {"ours": _OURS, "flat": _FLAT}  # names on the command line
APPROXIMATE = {"faiss HNSW": faiss_hnsw, "faiss IVF": faiss_ivf, "PyNNDescent": nn_descent}
METHODS: dict[str, Callable[[Path, int], Settings]] = EXACT | APPROXIMATE


def doubled(first: int, last: int) -> list[int]:
    """From the first on, each twice the one before; the last one as well."""
    below = itertools.takewhile(lambda number: number < last, (first << turn for turn in itertools.count()))
    return [*below, last]


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


def recall(mine: np.ndarray, theirs: np.ndarray) -> float:
    """The share of our entries that are found."""
    both = [np.sort(ids, axis=1) for ids in (mine, theirs)]
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(*both, strict=True)]))


def once(method: str, path: str, k: str, folder: str) -> None:
    """The timed part, after a small run that imports everything."""
    with tempfile.TemporaryDirectory() as small:
        np.save(Path(small) / "small.npy", np.load(path, mmap_mode="r")[:2000])
        next(METHODS[method](Path(small) / "small.npy", int(k)))[1]()
    files = [Path(folder) / f"knn_{name}.npy" for name in ("ids", "sims")]
    exact = Path(folder).parent / "exact.npy"  # of our turn, which is the first
    measured: dict[str, Any] = {"settings": [], "recalls": []}
    settings, clocks = METHODS[method](Path(path), int(k)), (time.perf_counter, time.process_time)
    started = [clock() for clock in clocks]
    setting, lists = next(settings)
    index = [clock() - start for clock, start in zip(clocks, started, strict=True)]
    while True:
        started = [clock() for clock in clocks]
        found = lists()
        for file, array, dtype in zip(files, found, (np.int64, np.float32), strict=True):
            np.save(file, array.astype(dtype))
        seconds = [before + clock() - start for before, clock, start in zip(index, clocks, started, strict=True)]
        if method in EXACT:
            break
        measured["settings"].append(setting)
        measured["recalls"].append(recall(np.load(exact), found[0]))
        if measured["recalls"][-1] >= _RECALL or (following := next(settings, None)) is None:
            measured["index_s"] = index[0]
            break
        setting, lists = following
    print(json.dumps({"seconds": seconds, **({} if method in EXACT else measured)}))


def turns(path: Path, k: int, methods: Sequence[str], repeats: int) -> dict[str, Any]:
    """The record of each method on the vectors of a file."""
    measured: dict[str, list[dict[str, Any]]] = {method: [] for method in methods}
    lists: dict[str, Lists] = {}
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        for repeat, method in itertools.product(range(repeats), methods):
            if repeat and method in APPROXIMATE:
                continue
            folder = Path(scratch) / "turn"
            folder.mkdir(exist_ok=True)
            measured[method].append(child("--once", method, path, k, folder))
            lists[method] = tuple(np.load(folder / f"knn_{name}.npy") for name in ("ids", "sims"))
            if method == _OURS:
                np.save(Path(scratch) / "exact.npy", lists[method][0])
            print(f"k = {k}, {method}: {measured[method][-1]}", file=sys.stderr, flush=True)
    ours_s = summary([turn["seconds"][0] for turn in measured[_OURS]])["median_s"]
    record = {}
    for method, (mine, theirs) in ((method, (lists[_OURS], lists[method])) for method in methods):
        walls, cpus = zip(*(turn.pop("seconds") for turn in measured[method]), strict=True)
        other = (mine[0] != theirs[0]) & (np.abs(mine[1] - theirs[1]) > _ROUNDING)
        record[method] = {
            **summary(list(walls)),
            "median_processor_s": float(np.median(cpus)),
            "miner_is_faster_by": summary(list(walls))["median_s"] / ours_s,
            "recall": recall(mine[0], theirs[0]),
            "entries_that_differ": int(other.sum()),
            **measured[method][-1],
        }
    return record


def child(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, __file__, *map(str, arguments)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"{arguments}: {answer.stderr[-2000:]}")
    return json.loads(answer.stdout.splitlines()[-1])


def mutual_once(small: str, large: str, k: str) -> None:
    from miner.pairs.options import PairsOptions
    from miner.pairs.run import pairs

    options = PairsOptions(rule="mutual", neighbors=int(k), max=_CEILING)
    pairs(options, Workspace(Path(small)))
    Path("/proc/self/clear_refs").write_text("5")
    before, started = status("VmRSS"), time.perf_counter()
    made = pairs(options, Workspace(Path(large)))
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "used_bytes": status("VmHWM") - before, "pairs": made.record["pairs"]}))


def mutual(workspace: Path, images: int, k: int, folder: Path) -> dict[str, Any]:
    """Seconds, and the most memory beside the libraries: with the stored vectors, and without them."""
    make(EmbeddingStore(Workspace(workspace)), images, Workspace(folder / "mutual"))
    small_copy(workspace, folder / "small")
    measured = child("--once-mutual", folder / "small", folder / "mutual", k)
    held = sum(path.stat().st_size for path in (folder / "mutual" / "embeddings" / "img_emb").iterdir())
    return {"k": k, "images": images, **measured, "beside_stored_vectors_bytes": measured["used_bytes"] - held}


def instructions() -> dict[str, Any]:
    """The instruction sets that torch and FAISS use here, and the variables that lower them."""
    import faiss
    from threadpoolctl import threadpool_info

    return {
        "torch": torch.backends.cpu.get_cpu_capability(),
        "native_bf16": has_native_bf16(torch.device("cpu")),
        "faiss": faiss.get_compile_options().strip(),
        "blas": {
            Path(lib["filepath"]).parent.name: lib["architecture"] for lib in threadpool_info() if "architecture" in lib
        },
        "variables": {name: value for name, value in os.environ.items() if name.endswith(_LOWERING)},
    }


def narrowed(vectors: np.ndarray, width: int) -> np.ndarray:
    """Rows in a random subspace of the width; the rows as they are if they are no wider."""
    if vectors.shape[1] <= width:
        return vectors
    basis, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((vectors.shape[1], width)))
    rows = vectors.astype(np.float32) @ basis.astype(np.float32)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(vectors.dtype)


def main() -> None:
    if sys.argv[1:2] == ["--once"]:
        once(*sys.argv[2:])
        return
    if sys.argv[1:2] == ["--once-mutual"]:
        mutual_once(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("datasets_out/demo"))
    parser.add_argument("--k", type=int, nargs="+", default=[10])
    parser.add_argument("--width", type=int, nargs="+", default=[10**6])
    parser.add_argument("--limit", type=int, help="only the first so many images")
    parser.add_argument(
        "--methods", nargs="+", type=lambda name: _SHORT.get(name, name), choices=METHODS, default=[*METHODS]
    )
    parser.add_argument("--growth", type=int, nargs="+", default=[])
    parser.add_argument(
        "--growth-methods", nargs="+", type=lambda name: _SHORT.get(name, name), choices=METHODS, default=[_OURS, _FLAT]
    )
    parser.add_argument("--mutual", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    store = EmbeddingStore(Workspace(options.workspace))
    images = min(options.limit or len(store), len(store))
    record: dict[str, Any] = {
        "data": {"images": images, "dim": store.stored.dim, "encoder": store.manifest.encoder.name},
        "threads": torch.get_num_threads(),
        "instructions": instructions(),
        "made": _MADE,
        "lists": [],
    }
    with tempfile.TemporaryDirectory(dir=options.workspace.parent) as scratch:
        folder, path = Path(scratch), Path(scratch) / "vectors.npy"
        for width, k in itertools.product(options.width, options.k):
            vectors = narrowed(store.vectors[:images], width)
            np.save(path, vectors)
            found = turns(path, k, options.methods, options.repeats)
            record["lists"].append({"width": vectors.shape[1], "k": k, "methods": found})
        if options.growth:
            record["growth"] = growth(store, options, folder)
        if options.mutual:
            record["mutual"] = mutual(options.workspace, images, options.mutual, folder)
    publish(f"neighbours{'-growth' * bool(options.growth)}-{options.workspace.name}", record)


def growth(store: EmbeddingStore, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    large, k, path = Workspace(folder / "large"), options.k[0], folder / "vectors.npy"
    make(store, max(*options.growth, len(store)), large)
    whole = narrowed(EmbeddingStore(large).vectors, options.width[-1])
    order, rows = np.random.default_rng(0).permutation(len(whole)), []
    for images in options.growth:
        np.save(path, whole[np.sort(order[:images])])
        rows.append({"images": images, "methods": turns(path, k, options.growth_methods, options.repeats)})
    sizes, seconds = np.asarray(options.growth), [row["methods"][_OURS]["median_s"] for row in rows]
    fit = exponent(sizes, np.asarray(seconds))
    return {"k": k, "width": whole.shape[1], "runs": rows, "exponent_from_25000": fit}


if __name__ == "__main__":
    main()
