"""Time and recall of the approximate engines against the exact one, on stored vectors of real images.

    python tests/bench/approximate.py --workspace datasets_out/cifar10 --min 0.75 0.8

Every engine starts from the stored vectors in memory and ends with its pairs at or above the threshold. Making it, which for ivf
and hnsw is the index and the choice of how far to look, is timed apart from the search. Processor seconds are listed beside the
elapsed ones, because they hold on a machine that others use too. The recall that a run would report, on 1,000 anchors, stands
beside the share of all pairs that was found in fact.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from record import publish

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.pairs.band import Band
from miner.artifacts.workspace import Workspace
from miner.pairs.band_join import BandJoin
from miner.pairs.engines.approximate import ApproximateSearch
from miner.pairs.engines.exact_cpu import ExactEngine
from miner.pairs.engines.faiss_flat import faiss_engine
from miner.pairs.engines.recall import are_among, pair_keys
from miner.pairs.options import PairsOptions
from miner.pairs.tables.found import FoundPairs

HIGHEST = 1.0


def make(name: str, vectors: MemoryVectors, low: float, recall: float) -> Any:
    """What makes the engine; for an approximate one, it is made by then."""
    if name == "exact":
        engine: Any = ExactEngine(vectors, low)
    elif name == "faiss":
        engine = faiss_engine(vectors, low, "cpu")
    else:
        return ApproximateSearch(PairsOptions(engine=name, recall=recall), vectors, Band(low, HIGHEST))
    return lambda: engine


def timed(name: str, vectors: MemoryVectors, low: float, recall: float) -> tuple[FoundPairs, dict[str, Any]]:
    clocks = [(time.perf_counter(), time.process_time())]
    maker = make(name, vectors, low, recall)
    clocks.append((time.perf_counter(), time.process_time()))
    with tempfile.TemporaryDirectory() as folder:
        found = BandJoin(maker, vectors, Band(low, HIGHEST), 10**8).run(Path(folder))
    clocks.append((time.perf_counter(), time.process_time()))
    record: dict[str, Any] = {"pairs": len(found)}
    for number, step in enumerate(("making", "search")):
        for clock, kind in enumerate(("elapsed_s", "processor_s")):
            record[f"{step}_{kind}"] = round(clocks[number + 1][clock] - clocks[number][clock], 2)
    record["processor_s"] = round(clocks[2][1] - clocks[0][1], 2)
    if isinstance(maker, ApproximateSearch):
        record |= maker.measured((found.a, found.b))
    return found, record


def compare(vectors: MemoryVectors, low: float, engines: list[str], recall: float) -> dict[str, Any]:
    images = len(vectors)
    record: dict[str, Any] = {"min": low}
    exact, record["exact"] = timed("exact", vectors, low, recall)
    wanted = pair_keys((exact.a, exact.b), images)
    for name in engines:
        found, record[name] = timed(name, vectors, low, recall)
        among = are_among(wanted, pair_keys((found.a, found.b), images))
        record[name]["found_share"] = float(among.mean()) if len(wanted) else None
        record[name]["pairs_that_are_not_true"] = len(found) - int(among.sum())
        record[name]["processor_ratio_to_exact"] = round(
            record[name]["processor_s"] / record["exact"]["processor_s"], 3
        )
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--min", type=float, nargs="+", required=True)
    parser.add_argument("--engines", nargs="+", default=["faiss", "ivf", "hnsw"])
    parser.add_argument("--recall", type=float, default=0.98)
    parser.add_argument("--name", help="of the record (default: of the workspace)")
    arguments = parser.parse_args()
    store = EmbeddingStore(Workspace(arguments.workspace))
    vectors = MemoryVectors(store.vectors)
    publish(
        f"approximate-{arguments.name or arguments.workspace.name}",
        {
            "images": len(vectors),
            "dim": vectors.dim,
            "wanted_recall": arguments.recall,
            "bands": [compare(vectors, low, arguments.engines, arguments.recall) for low in arguments.min],
        },
    )


if __name__ == "__main__":
    main()
