"""`miner eval graph`: what refinement by a graph network adds, beside everything simpler -> graph/."""

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from miner.artifacts.stage import Stage
from miner.artifacts.workspace import Workspace
from miner.engine.records import Record, fingerprint, signed
from miner.engine.result import Result
from miner.refine.modes.held_out import embed_test, held_out_workspace, labels_of_both
from miner.refine.options import GraphOptions, RefineOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from miner.refine.comparison.controls import GraphArm
    from miner.refine.modes.modes import NeighbourLists


def compare(options: GraphOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Classify test images by the features of every arm, for several seeds; killed and started again, it continues.

    Raises:
        MinerError: there are no embeddings or labels, or the classes of the test images are others.
        UsageError: torch_geometric is missing, or no test set is known.
    """
    embeddings = workspace.manifest(workspace.embeddings)
    from miner.refine.network.network import require_geometric

    require_geometric()
    held_out = embed_test(
        workspace, embeddings, test=options.test, limit=options.test_limit, device=options.device, force=force
    )
    inputs = {"embeddings": fingerprint(embeddings["files"]), "test_embeddings": fingerprint(held_out["files"])}
    stage = Stage(workspace.root / "graph", {**options.request(), **inputs})
    if not force and (manifest := stage.finished()):
        return _result(manifest, stage.folder, fresh=False)
    stage.begin(force)
    record, files = _measure(options, workspace, stage.folder)
    manifest = stage.finish(record, files)
    shutil.rmtree(stage.folder / "parts", ignore_errors=True)
    return _result(manifest, stage.folder)


def _measure(options: GraphOptions, workspace: Workspace, folder: Path) -> tuple[Record, list[Path]]:
    import numpy as np

    from miner.artifacts.embeddings.store import EmbeddingStore
    from miner.engine import Unit, committed, run, write_bytes, write_json
    from miner.pairs.arithmetic.cosine import unit_rows
    from miner.refine.comparison import controls_table as table
    from miner.refine.comparison.controls import GRAPH_ARMS
    from miner.refine.modes.modes import NeighbourLists

    train, test = EmbeddingStore(workspace), EmbeddingStore(held_out_workspace(workspace))
    labels, truth = labels_of_both(train, test)
    features = unit_rows(np.concatenate([train.vectors, test.vectors]))
    lists = NeighbourLists(train.vectors, test.vectors, options.neighbors)
    parts = folder / "parts"

    def unit(arm: "GraphArm", seed: int) -> Unit:
        name = f"{table.arm_key(arm)}-{seed}"
        work = partial(_score_arm, arm, seed, options, features, lists, (labels, truth), parts / f"{name}.pt")
        return Unit(name, (parts / f"{name}.json",), work)

    seeds = range(options.seed, options.seed + options.seeds)
    units = {arm: [unit(arm, seed) for seed in seeds] for arm in GRAPH_ARMS}
    run([one for same_seed in zip(*units.values(), strict=True) for one in same_seed])
    scores = {table.arm_key(arm): [json.loads(one.files[0].read_text()) for one in some] for arm, some in units.items()}
    rows = table.control_rows(scores)
    record = {
        "unit": "top-1 accuracy in percent on the test images; mean and half of the 95 % interval over seeds",
        "n_train": len(labels),
        "n_test": len(truth),
        "rows": rows,
        "verdict": table.verdict(scores),
        "scores": scores,
        "protocol": "penalty of linear, and the share of an image's own features in smoothing, chosen on a held-out fifth of "
        "the training images; kNN: k = 20, exp(cosine / 0.07); seeds vary networks and what is held out, not the images",
    }
    write_json(folder / "table.json", signed({"rows": rows, "verdict": record["verdict"]}))
    write_bytes(folder / "table.md", table.controls_markdown(rows).encode())
    write_bytes(folder / "table.csv", table.controls_csv(rows).encode())
    with committed(folder / "table.png") as partial_file:
        table.plot_controls(partial_file, rows)
    return record, [folder / f"table.{ending}" for ending in ("json", "md", "csv", "png")]


def _score_arm(
    arm: "GraphArm",
    seed: int,
    options: GraphOptions,
    features: "NDArray[np.float32]",
    lists: "NeighbourLists",
    labels: "tuple[NDArray[np.int64], NDArray[np.int64]]",
    checkpoint: Path,
    path: Path,
) -> None:
    from miner.engine import json_bytes
    from miner.refine.comparison.controls import arm_features
    from miner.refine.comparison.scores import score
    from miner.refine.network.resources import graph_device

    own = RefineOptions.parse(options.model_dump(include=set(RefineOptions.model_fields)) | {"seed": seed})
    candidates = arm_features(arm, features, lists, own, checkpoint)
    scores = score(candidates, *labels, seed, graph_device(options.device))
    path.write_bytes(json_bytes(scores))
    found = ", ".join(f"{name} {result['test']:.2f} %" for name, result in scores.items())
    print(f"{arm.name}, {arm.mode}, seed {seed}: {found}", file=sys.stderr, flush=True)


def _result(manifest: Record, folder: Path, fresh: bool = True) -> Result:
    from miner.artifacts.graph_table import verdict_sentences
    from miner.refine.comparison.controls_table import row_name
    from miner.tables import interval_text

    lines = [
        f"eval graph: {row_name(row)}: linear {interval_text(row['linear'], 2)}, kNN {interval_text(row['knn'], 2)}"
        for row in manifest["rows"]
    ]
    sentences = verdict_sentences(manifest["verdict"])
    lines += [f"eval graph: {line}" for line in sentences]
    lines.append(
        f"eval graph: {manifest['n_train']:,} training and {manifest['n_test']:,} test images, accuracy in %; table in {folder}"
    )
    return Result("eval graph", manifest, lines, fresh, [("graph refinement", line) for line in sentences])
