"""How the time of the join grows with the number of images, and what skipping whole tiles could save.

    python tests/bench/growth.py --workspace datasets_out/cifar10-views --min 0.95 --images 5000 25000 50000 100000 200000

Random subsets of stored vectors, each within the next; seconds from vectors in memory to the list of pairs. The exponent is the
slope of log seconds over log images from 25,000 images on, with the 95 % interval of the straight line through all repeats.

Skipping: rows are put in the order of k-means cells, so that similar ones share a tile of 2,048. A tile needs no product if the
angle between its two centroids, less the angles of their rows, proves that no pair in it reaches the threshold. The record holds
the share of tiles for which that is so, and the share that truly holds no pair: what a perfect proof could skip.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import unit_vectors
from record import publish
from scipy import stats

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.pairs.band import Band
from miner.artifacts.workspace import Workspace
from miner.pairs.band_join import BandJoin
from miner.pairs.engines.exact_cpu import ExactEngine
from miner.pairs.engines.tile_search import TILE_ROWS
from miner.pairs.tables.found import FoundPairs

_FITTED_FROM = 25_000
_ROWS_PER_CELL = 512


def join(vectors: MemoryVectors, low: float) -> tuple[float, FoundPairs, str]:
    started = time.perf_counter()
    engine = ExactEngine(vectors, low)
    with tempfile.TemporaryDirectory() as folder:
        found = BandJoin(lambda: engine, vectors, Band(low, 1.0), 10**8).run(Path(folder))
    passes = [sketch.vectors.shape[1] for sketch in engine.search.sketches]
    return time.perf_counter() - started, found, " then ".join(map(str, passes))


def exponent(images: np.ndarray, seconds: np.ndarray) -> dict[str, Any]:
    large = images >= _FITTED_FROM
    if len(np.unique(images[large])) < 3:
        return {}
    line = stats.linregress(np.log(images[large]), np.log(seconds[large]))
    reach = float(stats.t.ppf(0.975, large.sum() - 2) * line.stderr)
    return {"slope": float(line.slope), "low": float(line.slope) - reach, "high": float(line.slope) + reach}


def skipping(units: np.ndarray, found: FoundPairs, low: float) -> dict[str, Any]:
    import faiss

    cells = max(len(units) // _ROWS_PER_CELL, 1)
    means = faiss.Kmeans(units.shape[1], cells, niter=10, seed=0, spherical=True, max_points_per_centroid=256)
    means.train(units)
    cell = means.index.search(units, 1)[1][:, 0]
    order = np.argsort(cell, kind="stable")
    place = np.empty(len(units), np.int64)
    place[order] = np.arange(len(units))
    tiles = -(-len(units) // TILE_ROWS)
    holds = np.zeros((tiles, tiles), bool)
    a, b = place[found.a] // TILE_ROWS, place[found.b] // TILE_ROWS
    holds[np.minimum(a, b), np.maximum(a, b)] = True
    centroids, radii = [], []
    for tile in range(tiles):
        rows = units[order[tile * TILE_ROWS : (tile + 1) * TILE_ROWS]]
        centroid = rows.mean(axis=0) / np.linalg.norm(rows.mean(axis=0))
        centroids.append(centroid)
        radii.append(np.arccos(np.clip((rows @ centroid).min(), -1, 1)))
    angles = np.arccos(np.clip(np.asarray(centroids) @ np.asarray(centroids).T, -1, 1))
    radius = np.asarray(radii)
    proven = np.maximum(angles - radius[:, None] - radius[None, :], 0) > np.arccos(low)
    upper = np.triu(np.ones((tiles, tiles), bool))
    return {
        "cells": cells,
        "tiles": int(upper.sum()),
        "share_proven_empty": float(proven[upper].mean()),
        "share_truly_empty": float((~holds)[upper].mean()),
        "angle_of_the_band_degrees": float(np.degrees(np.arccos(low))),
        "median_radius_degrees": float(np.degrees(np.median(radius))),
        "median_angle_between_centroids_degrees": float(np.degrees(np.median(angles[~np.eye(tiles, dtype=bool)]))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("datasets_out/demo"))
    parser.add_argument("--min", type=float, default=0.9)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 2000, 3000])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    store = EmbeddingStore(Workspace(options.workspace))
    order = np.random.default_rng(0).permutation(len(store))
    rows: list[dict[str, Any]] = []
    for repeat in range(options.repeats):
        for images in options.images:
            vectors = MemoryVectors(store.vectors[np.sort(order[:images])])
            seconds, found, passes = join(vectors, options.min)
            rows.append({"images": images, "repeat": repeat, "seconds": seconds, "pairs": len(found), "passes": passes})
            print(rows[-1], file=sys.stderr, flush=True)
    images = np.asarray([row["images"] for row in rows])
    largest = np.sort(order[: images.max()])
    _, found, _ = join(MemoryVectors(store.vectors[largest]), options.min)
    record = {
        "data": {
            "source": store.manifest.source.spec,
            "encoder": store.manifest.encoder.name,
            "dim": store.stored.dim,
        },
        "threads": torch.get_num_threads(),
        "min": options.min,
        "runs": rows,
        "exponent_from_25000": exponent(images, np.asarray([row["seconds"] for row in rows])),
        "skipping": skipping(unit_vectors(options.workspace)[largest], found, options.min),
    }
    publish(f"growth-{options.workspace.name}", record)


if __name__ == "__main__":
    main()
