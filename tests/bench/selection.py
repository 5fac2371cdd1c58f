"""The rules of `miner pairs` side by side: pairs, label precision, coverage, effective number of images, composition.

    python tests/bench/selection.py datasets_out/demo datasets_out/clothes datasets_out/cifar10

Each argument is a workspace whose images are embedded. The ceiling of duplicates is the calibrated one. The rules `knn`, `local`
and `shared` look at 10 neighbours, and `shared` compares lists of 20. `local` takes the pairs with the highest scores, as many as
there are images. The last row is `miner pairs` without options. Labels choose nothing; they are counted afterwards. Every number is
that of a manifest of `miner pairs`.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from record import publish

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.pairs.calibration.run import calibrate
from miner.pairs.options import CalibrateOptions, PairsOptions
from miner.pairs.run import pairs
from miner.tables import markdown_lines

_COLUMNS = (
    "rule",
    "pairs",
    "precision",
    "coverage",
    "effective",
    "three largest classes",
    "classes without a pair",
    "seconds",
)


def rules(high: float, images: int, local: float) -> dict[str, dict[str, Any]]:
    """Options of `miner pairs` by the name of the row."""
    near = {"max": high, "neighbors": 10}
    return {
        "band, as calibrated": {"auto": True},
        "knn 10": {"rule": "knn", **near},
        **{f"mutual {k}": {"rule": "mutual", "max": high, "neighbors": k} for k in (1, 5, 10)},
        f"local, {images:,} pairs": {"rule": "local", **near, "local": local},
        **{f"mutual 10, shared >= {shared}": {"rule": "shared", **near, "shared": shared} for shared in (4, 6, 8, 10)},
        "without options": {},
    }


def least_local(workspace: Workspace, high: float, images: int) -> float:
    """The score that as many pairs reach as there are images, of those that the rule `local` with 0 chooses."""
    pairs(PairsOptions(rule="local", neighbors=10, max=high), workspace, force=True)
    scores = np.sort(pq.read_table(workspace.pairs / "pairs.parquet", columns=["local"])["local"].to_numpy())[::-1]
    return float(np.nextafter(scores[min(images, len(scores)) - 1], np.float32(-1)))  # the table rounds to float32


def row(workspace: Workspace, name: str, options: dict[str, Any]) -> dict[str, Any]:
    started = time.perf_counter()
    pairs(PairsOptions(**options), workspace, force=True)
    seconds = time.perf_counter() - started
    made = PairsManifest.read(workspace)
    assert made.labels and made.composition and made.composition.classes
    classes = made.composition.classes
    return {
        "rule": name,
        "options": options,
        "pairs": made.pairs,
        "precision": made.labels.precision,
        "coverage": made.image_coverage,
        "effective": made.composition.effective_share,
        "three largest classes": classes.three_largest_share,
        "classes": classes.number,
        "classes without a pair": classes.without_pairs,
        "clusters without a pair": made.composition.clusters.without_pairs,
        "tenth": made.composition.tenth_share,
        "seconds": round(seconds, 1),
    }


def shown(value: Any) -> str:
    return (
        f"{value:.3f}"
        if isinstance(value, float) and value < 1
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", nargs="+", type=Path)
    data = []
    for root in parser.parse_args().workspaces:
        with tempfile.TemporaryDirectory() as folder:
            workspace = Workspace(Path(folder) / "w")
            workspace.root.mkdir(parents=True)
            workspace.embeddings.symlink_to((root / "embeddings").resolve())
            band = calibrate(CalibrateOptions(), workspace, compare=False).record["band"]
            store = EmbeddingStore(workspace)
            local = least_local(workspace, band["max"], len(store))
            rows = [row(workspace, *rule) for rule in rules(band["max"], len(store), local).items()]
        data.append(
            {
                "data": root.name,
                "images": len(store),
                "encoder": store.manifest.encoder.name,
                "band": band,
                "rows": rows,
            }
        )
        table = [_COLUMNS, ["---"] * len(_COLUMNS), *([shown(one[name]) for name in _COLUMNS] for one in rows)]
        print(root.name, *markdown_lines(table), sep="\n")
    publish("selection", {"sets": data})


if __name__ == "__main__":
    main()
