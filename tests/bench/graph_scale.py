"""Graph construction and one epoch of refinement on synthetic features: time and memory by the number of images.

    python tests/bench/graph_scale.py --images 10000 40000 160000 640000 --dim 64
    python tests/bench/graph_scale.py --images 1280000 --dim 32 --skip-search

Each size runs in a process of its own, whose peak memory is what the record states. Neighbours are searched by the exact engine
(`miner.pairs.neighbours.graph`), whose time grows with the square of the images; `--skip-search` draws random neighbours instead
and measures the rest: the graph of 10 edges per node, made symmetric, and one epoch of `miner refine` with sampled neighbours.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

CLUSTERS = 1000


def measure(images: int, dim: int, edges: int, network_dim: int, batch_size: int, search: bool) -> dict[str, Any]:
    """One size, in this process."""
    from miner.artifacts.embeddings.vectors import MemoryVectors
    from miner.refine.graph.graph import from_neighbours
    from miner.refine.modes.modes import nearest_lists
    from miner.refine.network.fit import fit
    from miner.refine.network.network import Nodes, make_network
    from miner.refine.options import RefineOptions

    generator = np.random.default_rng(0)
    centres = generator.normal(size=(CLUSTERS, dim)).astype(np.float32)
    features = centres[generator.integers(0, CLUSTERS, images)] + generator.normal(size=(images, dim)).astype(
        np.float32
    )
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    record: dict[str, Any] = {"images": images}
    started = time.perf_counter()
    if search:
        ids, _ = nearest_lists(MemoryVectors(features), edges)
        record["search_s"] = time.perf_counter() - started
    else:
        ids = generator.integers(0, images, (images, edges))
    record["search_peak_mb"] = peak_mb()
    started = time.perf_counter()
    graph = from_neighbours(ids, np.ones(ids.shape, np.float32), "symmetric")
    record |= {"graph_s": time.perf_counter() - started, "messages": len(graph.sources), "graph_peak_mb": peak_mb()}
    options = RefineOptions.parse({"dim": network_dim, "epochs": 1, "fanout": edges})
    network = make_network(options, dim)
    nodes = Nodes(features, graph)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        size = min(batch_size, images)
        cpu, checkpoint = torch.device("cpu"), Path(folder) / "last.pt"
        fit(network, nodes, nodes, options, batch_size=size, device=cpu, checkpoint=checkpoint)
    return {**record, "epoch_s": time.perf_counter() - started, "peak_mb": peak_mb()}


def peak_mb() -> int:
    from miner.machine.memory import peak_bytes

    return peak_bytes() >> 20


def exponent(records: list[dict[str, Any]], name: str) -> float | None:
    """Slope of log seconds over log images by least squares: 1 is linear, 2 is quadratic."""
    points = [(math.log(record["images"]), math.log(record[name])) for record in records if name in record]
    if len(points) < 2:
        return None
    return round(float(np.polyfit(*zip(*points, strict=True), 1)[0]), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 40_000, 160_000, 640_000])
    parser.add_argument("--dim", type=int, default=64, help="of the synthetic features")
    parser.add_argument("--edges", type=int, default=10, help="neighbours per image")
    parser.add_argument("--network-dim", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--skip-search", action="store_true")
    parser.add_argument("--name", default="graph-scale", help="of the record")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    settings = (options.dim, options.edges, options.network_dim, options.batch_size, not options.skip_search)
    if options.one:
        print(json.dumps(measure(options.one, *settings)))
        return
    records = []
    for images in options.images:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", str(images)]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        records.append(json.loads(answer.stdout))
        print(records[-1], file=sys.stderr, flush=True)

    from record import publish

    growth = {name: exponent(records, name) for name in ("search_s", "graph_s", "epoch_s")}
    sizes = {"dim": options.dim, "edges_per_node": options.edges, "network_dim": options.network_dim}
    engine = "random neighbours" if options.skip_search else "exact"
    data = f"synthetic: {CLUSTERS} Gaussian clusters"
    publish(
        options.name,
        {
            "data": data,
            **sizes,
            "batch_size": options.batch_size,
            "threads": torch.get_num_threads(),
            "engine": engine,
            "records": records,
            "growth_exponents": growth,
        },
    )


if __name__ == "__main__":
    main()
