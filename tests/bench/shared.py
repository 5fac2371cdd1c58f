"""How many common neighbours should `--rule shared` ask for, among how many images? Label precision and coverage of 3 to 10 of 20.

    python tests/bench/shared.py datasets_out/cifar10 datasets_out/clothes

Each argument is a workspace whose images are embedded, with labels. From each, random images are mined, as by `miner pairs --sample
N`, below the calibrated ceiling of duplicates. Labels choose nothing; they are counted afterwards.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from record import publish

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.pairs.calibration.run import calibrate
from miner.pairs.options import CalibrateOptions, PairsOptions
from miner.pairs.run import pairs
from miner.tables import markdown_lines

SIZES = (2_000, 5_000, 10_000, 20_000, 50_000)
SHARED = range(3, 11)
COVERED = 0.7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", nargs="+", type=Path)
    sets = []
    for root in parser.parse_args().workspaces:
        with tempfile.TemporaryDirectory() as folder:
            sets.append(measured(root, Workspace(Path(folder) / "w")))
        print(*table(sets[-1]), sep="\n")
    publish("shared", {"sets": sets})


def measured(root: Path, workspace: Workspace) -> dict[str, Any]:
    """The rows of one data set and encoder."""
    workspace.root.mkdir(parents=True)
    workspace.embeddings.symlink_to((root / "embeddings").resolve())
    high = calibrate(CalibrateOptions(), workspace, compare=False).record["band"]["max"]
    store = EmbeddingStore(workspace)
    rows = []
    for images in [*(size for size in SIZES if size < len(store)), len(store)]:
        options = PairsOptions(rule="shared", shared=SHARED[0], max=high, sample=images)
        pairs(options, workspace, force=True)
        found = pq.read_table(workspace.pairs / "pairs.parquet")
        a, b, one, other, common = (found[name].to_numpy() for name in ("a", "b", "label_a", "label_b", "shared"))
        ends, right = np.array([a, b]), one == other
        for least in SHARED:
            kept = common >= least
            rows.append(
                {
                    "images": images,
                    "shared": least,
                    "pairs": int(kept.sum()),
                    "precision": round(float(right[kept].mean()), 4) if kept.any() else None,
                    "coverage": round(len(np.unique(ends[:, kept])) / images, 4),
                }
            )
    return {"data": root.name, "encoder": store.manifest.encoder.name.rpartition("/")[2], "ceiling": high, "rows": rows}


def table(one: dict[str, Any]) -> list[str]:
    """Precision / coverage: a row for each number of images. Bold: the highest `--shared` that covers 70 % of the images."""
    by_size: dict[int, list[str]] = {}
    for row in one["rows"]:
        cell = "-" if row["precision"] is None else f"{row['precision']:.3f} / {row['coverage']:.2f}"
        by_size.setdefault(row["images"], []).append(cell)
    for images, least in recommended(one).items():
        by_size[images][least - SHARED[0]] = f"**{by_size[images][least - SHARED[0]]}**"
    heads = [f"{one['data']}, images", *map(str, SHARED)]
    rows = [[f"{size:,}", *cells] for size, cells in by_size.items()]
    return markdown_lines([heads, ["---"] * len(heads), *rows])


def recommended(one: dict[str, Any]) -> dict[int, int]:
    """For each number of images, the highest `--shared` whose pairs cover enough of them."""
    return {row["images"]: row["shared"] for row in one["rows"] if row["coverage"] >= COVERED}


if __name__ == "__main__":
    main()
