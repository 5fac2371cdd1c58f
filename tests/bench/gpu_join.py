"""The exact join on one GPU against the brute-force limit of that GPU.

    PYTHONPATH=. python tests/bench/gpu_join.py [--images 1280000 --dim 768 --min 0.8 0.85 0.9] [--shapes]

Vectors are made (see real_like.py). The limit is the time of the bfloat16 products alone, by PyTorch's matrix product, of all
tiles on or above the diagonal: N^2 d multiplications and additions whose results are overwritten. `marks` is the same work in our
kernel with nothing to find. `torch_brute_force` is a search by PyTorch alone: products, comparison, places. `flashlib_neighbours`
is there if FlashLib is installed. The join starts from stored float16 vectors in host memory and ends with row numbers on the
host; `prepare` (reading, plan, sketch) and `search` are timed apart. Its achieved rate counts what it multiplies, its effective
rate what a brute force would have to. The pairs of one strip are compared with a float64 brute force. --shapes times tile shapes
of the kernel. Needs only torch, triton and numpy, so that it runs on a bare GPU machine.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from real_like import real_like
from torch import Tensor

from miner.artifacts.embeddings.vectors import MemoryVectors, blocks
from miner.pairs.engines.exact_gpu import GpuEngine
from miner.pairs.engines.tiles.base import Block, Tiles
from miner.pairs.engines.tiles.pytorch import TorchTiles, tiles_for

COLUMNS = 65536
CHECKED_ROWS = 1024


def seconds(work: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """The median, after one call that may compile."""
    taken = []
    for _ in range(repeats + 1):
        wait(device)
        started = time.perf_counter()
        work()
        wait(device)
        taken.append(time.perf_counter() - started)
    return float(np.median(taken[1:]))


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def products_alone(vectors: Tensor, strip: int) -> None:
    """Every tile on or above the diagonal by PyTorch, into the same memory."""
    scores = torch.empty(strip * COLUMNS, dtype=vectors.dtype, device=vectors.device)
    for start, stop in blocks(len(vectors), strip):
        for left in range(start, len(vectors), COLUMNS):
            right = min(left + COLUMNS, len(vectors))
            out = scores[: (stop - start) * (right - left)].view(stop - start, right - left)
            torch.mm(vectors[start:stop], vectors[left:right].T, out=out)


def marks_alone(tiles: Tiles, vectors: Tensor, strip: int) -> None:
    """The same by our kernel; no score reaches 2."""
    whole = Block(vectors)
    for start, stop in blocks(len(vectors), strip):
        assert not len(tiles.above(whole.rows(start, stop), whole, 2.0))


def torch_brute_force(vectors: Tensor, strip: int, low: float) -> int:
    """Every pair by PyTorch alone: products, comparison and places of each tile. How many pairs there are."""
    tiles, whole = TorchTiles(), Block(vectors)
    return sum(len(tiles.above(whole.rows(start, stop), whole, low)) for start, stop in blocks(len(vectors), strip))


def flashlib_neighbours(vectors: Tensor, k: int, repeats: int) -> dict[str, Any] | None:
    """FlashLib's exact k nearest neighbours of all vectors, which is a full matrix of products; None without FlashLib."""
    try:
        from flashlib import flash_knn
    except ImportError:
        return None
    taken = seconds(lambda: flash_knn(vectors, vectors, k, return_distances=False), vectors.device, repeats)
    return {"k": k, "seconds": taken, "tflops": 2 * len(vectors) ** 2 * vectors.shape[1] / taken / 1e12}


def search(engine: GpuEngine, count: int, strip: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [engine.candidates(start, stop, 10**10) for start, stop in blocks(count, strip)]


def brute_force(vectors: Tensor, low: float, rows: int) -> Tensor:
    """Pairs of the first rows in float64: (m, 2)."""
    left = vectors[:rows].double()
    found = []
    for start, stop in blocks(len(vectors), COLUMNS):
        right = vectors[start:stop].double()
        cosines = left @ right.T / (left.norm(dim=1)[:, None] * right.norm(dim=1))
        pairs = (cosines >= low).nonzero() + torch.tensor([0, start], device=vectors.device)
        found.append(pairs[pairs[:, 1] > pairs[:, 0]])
    return torch.cat(found).cpu()


def join(stored: np.ndarray, on_device: Tensor, low: float, strip: int, repeats: int, limit_s: float) -> dict[str, Any]:
    device = on_device.device
    started = time.perf_counter()
    engine = GpuEngine(MemoryVectors(stored), low, device)
    wait(device)
    prepare_s = time.perf_counter() - started
    strips = search(engine, len(stored), strip)
    search_s = seconds(partial(search, engine, len(stored), strip), device, repeats)
    a, b = (np.concatenate(side) for side in zip(*strips, strict=True))
    wanted = brute_force(on_device, low, min(CHECKED_ROWS, len(stored)))
    head = a < CHECKED_ROWS
    ours = set(zip(a[head].tolist(), b[head].tolist(), strict=True))
    work = len(stored) ** 2
    return {
        "min": low,
        "pairs": len(a),
        "width": engine.search.sketch.vectors.shape[1],
        "prepare_s": prepare_s,
        "search_s": search_s,
        "achieved_tflops": work * engine.search.sketch.vectors.shape[1] / search_s / 1e12,
        "effective_tflops": work * stored.shape[1] / search_s / 1e12,
        "times_faster_than_the_limit": limit_s / search_s,
        "pairs_of_checked_rows": len(ours),
        "of_them_that_differ": len(ours ^ set(map(tuple, wanted.tolist()))),
    }


def time_shapes(vectors: Tensor, strip: int, repeats: int) -> list[dict[str, Any]]:
    from triton.runtime.errors import OutOfResources

    from miner.pairs.engines.tiles.triton import TileShape, TritonTiles

    rows = []
    for dim in (64, 128, 256, vectors.shape[1]):
        part = vectors[:, :dim].contiguous()
        for shape in (
            TileShape(128, 128, 64, 8, 3),
            TileShape(128, 128, 64, 4, 3),
            TileShape(128, 128, 32, 8, 4),
            TileShape(128, 128, 128, 8, 2),
            TileShape(256, 128, 64, 8, 3),
            TileShape(64, 128, 64, 4, 4),
        ):
            try:
                taken = seconds(partial(marks_alone, TritonTiles(shape), part, strip), part.device, repeats)
            except OutOfResources:
                continue
            rows.append({"dim": dim, "shape": str(shape), "tflops": len(part) ** 2 * dim / taken / 1e12})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_280_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--min", type=float, nargs="+", default=[0.8, 0.85, 0.9])
    parser.add_argument("--strip", type=int, default=16384, help="rows per call")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--shapes", action="store_true", help="time tile shapes of the kernel as well")
    parser.add_argument("--out", type=Path, help="where the record goes too")
    options = parser.parse_args()
    device = torch.device(options.device)
    vectors = real_like(options.images, options.dim, device=device)
    stored = vectors.cpu().numpy()
    tiles = tiles_for(device)
    whole = vectors.bfloat16()
    limit_s = seconds(partial(products_alone, whole, options.strip), device, options.repeats)
    marks_s = seconds(partial(marks_alone, tiles, whole, options.strip), device, options.repeats)
    flop = options.images**2 * options.dim
    low = max(options.min)
    brute_s = seconds(partial(torch_brute_force, whole, options.strip, low), device, min(options.repeats, 1))
    record: dict[str, Any] = {
        "benchmark": "gpu_join",
        "machine": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "versions": {"torch": torch.__version__, "tiles": type(tiles).__name__},
        "data": {"images": options.images, "dim": options.dim, "vectors": "real_like.py, seed 0"},
        "strip_rows": options.strip,
        "brute_force_limit": {"seconds": limit_s, "tflops": flop / limit_s / 1e12},
        "marks": {"seconds": marks_s, "tflops": flop / marks_s / 1e12},
        "torch_brute_force": {"min": low, "seconds": brute_s, "tflops": flop / brute_s / 1e12},
        "flashlib_neighbours": flashlib_neighbours(whole, 16, 1),
    }
    if options.shapes:
        record["shapes"] = time_shapes(whole, options.strip, options.repeats)
    del whole
    record["bands"] = [join(stored, vectors, low, options.strip, options.repeats, limit_s) for low in options.min]
    text = json.dumps(record, indent=2)
    if options.out:
        options.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
