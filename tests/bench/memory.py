"""Peak memory of `miner pairs` on more vectors than fit into --memory.

    python tests/bench/memory.py --workspace datasets_out/cifar10 --images 200000 --memory 512MB --min 0.95

The vectors are stored ones, repeated with noise until there are enough. The peak is that of the process (VmHWM) above what it
holds after a small run that imports every library.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from join import small_copy
from record import publish

from miner.artifacts.embeddings.images import METADATA_SCHEMA
from miner.artifacts.embeddings.store import EmbeddingStore, metadata_path, vectors_path
from miner.artifacts.stage_folder import Stage
from miner.artifacts.workspace import Workspace
from miner.machine.memory import parse_bytes

_BLOCK_ROWS = 10_000
_NOISE = 0.3  # relative length of the noise


def make(source: EmbeddingStore, images: int, target: Workspace) -> None:
    """A finished `embeddings/` folder."""
    stage = Stage(target.embeddings, {"made": "for a measurement"})
    stage.begin(force=True)
    draw = np.random.default_rng(0)
    files = []
    for block, start in enumerate(range(0, images, _BLOCK_ROWS)):
        rows = np.arange(start, min(start + _BLOCK_ROWS, images))
        vectors = source.stored.take(np.sort(rows % len(source.stored))).astype(np.float32)
        if start >= len(source.stored):
            noise = draw.standard_normal(vectors.shape, np.float32) / np.float32(vectors.shape[1] ** 0.5)
            vectors += _NOISE * noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        metadata = [
            {**dict.fromkeys(METADATA_SCHEMA.names), "key": f"{row:09d}", "sha256": f"{row:064x}"}
            for row in rows.tolist()
        ]
        of_block = [vectors_path(target.embeddings, block), metadata_path(target.embeddings, block)]
        for path in of_block:
            path.parent.mkdir(parents=True, exist_ok=True)
        np.save(of_block[0], vectors.astype(np.float16))
        pq.write_table(pa.Table.from_pylist(metadata, schema=METADATA_SCHEMA), of_block[1])
        files += of_block
    record = {name: source.manifest.record[name] for name in ("dim", "dtype", "encoder", "source", "errors")}
    stage.finish({**record, "blocks": len(files) // 2, "count": images}, files)


def status(field: str) -> int:
    return int(re.search(field + r":\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def once(small: str, large: str, low: str, memory: str) -> None:
    from miner.pairs.options import PairsOptions
    from miner.pairs.run import pairs

    pairs(PairsOptions(min=float(low), max=1.0), Workspace(Path(small)))
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    started = time.perf_counter()
    result = pairs(PairsOptions(min=float(low), max=1.0, memory=memory), Workspace(Path(large)))
    peak = {"seconds": time.perf_counter() - started, "before_bytes": before, "peak_bytes": status("VmHWM")}
    print(json.dumps({**peak, "pairs": result.record["pairs"] + result.record["duplicates"]}))


def main() -> None:
    if sys.argv[1:2] == ["--once"]:
        once(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path("datasets_out/demo"))
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--memory", default="512MB")
    parser.add_argument("--min", default="0.95")
    options = parser.parse_args()
    source = EmbeddingStore(Workspace(options.workspace))
    with tempfile.TemporaryDirectory(dir=options.workspace.parent) as folder:
        large, small = Workspace(Path(folder) / "large"), Path(folder) / "small"
        make(source, options.images, large)
        small_copy(options.workspace, small)
        arguments = [sys.executable, __file__, "--once", str(small), str(large.root), options.min, options.memory]
        answer = subprocess.run(arguments, capture_output=True, text=True, check=True)
        stored = sum(path.stat().st_size for path in (large.embeddings / "img_emb").iterdir())
    measured = json.loads(answer.stdout.splitlines()[-1])
    used = measured["peak_bytes"] - measured["before_bytes"]
    record = {
        "images": options.images,
        "dim": source.stored.dim,
        "stored_bytes": stored,
        "memory": options.memory,
        "min": float(options.min),
        **measured,
        "used_bytes": used,
        "kept_to": used <= parse_bytes(options.memory),
    }
    publish(f"memory-{options.workspace.name}", record)


if __name__ == "__main__":
    main()
