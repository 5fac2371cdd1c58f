"""`miner eval graph`: what refinement by a graph network adds, beside the simpler controls of `controls.py` -> graph/."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.stage_folder import Stage
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Result, signed
from miner.refine.modes.held_out import TrainAndTest, read_train_and_test, test_source
from miner.refine.options import GraphOptions, RefineOptions
from miner.text import counted

if TYPE_CHECKING:
    from miner.refine.comparison.controls import GraphArm

_TABLES = ("table.json", "table.md", "table.csv", "table.png")


def test_images(options: GraphOptions, workspace: Workspace) -> Record:
    """What `eval graph` needs embedded in `test/`.

    Raises:
        MinerError: there are no embeddings.
        UsageError: torch_geometric is missing, or no test set is known.
    """
    embeddings = EmbeddingsManifest.read(workspace)
    from miner.refine.network.network import require_geometric

    require_geometric()
    return test_source(embeddings, test=options.test, limit=options.test_limit, device=options.device)


def eval_graph(options: GraphOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Classify test images by the features of every arm, for several seeds; killed and started again, it continues.

    Raises:
        MinerError: labels are missing, or the classes of the test images are others.
    """
    embeddings, test = EmbeddingsManifest.read(workspace), EmbeddingsManifest.read(workspace.test)
    inputs = {"embeddings": embeddings.identity, "test_embeddings": test.identity}
    request = {**options.request(), **inputs}
    stage = Stage(workspace.graph, request, _TABLES, ("parts/*.json", "parts/*.pt"))
    if not force and (manifest := stage.finished()):
        return _result(manifest, stage.folder, fresh=False)
    stage.begin(force)
    record, files = _measure(options, workspace, stage.folder)
    manifest = stage.finish(record, files)
    return _result(manifest, stage.folder)


def _measure(options: GraphOptions, workspace: Workspace, folder: Path) -> tuple[Record, list[Path]]:
    from miner.engine import Unit, committed, run, write_bytes, write_json
    from miner.refine.comparison import controls_table as table
    from miner.refine.comparison.controls import GRAPH_ARMS

    data, parts = read_train_and_test(workspace, options.neighbors), folder / "parts"

    def unit(arm: "GraphArm", seed: int) -> Unit:
        name = f"{table.arm_key(arm)}-{seed}"
        work = partial(_score_arm, arm, seed, options, data, parts / f"{name}.pt")
        return Unit(name, (parts / f"{name}.json",), work)

    seeds = range(options.seed, options.seed + options.seeds)
    units = {arm: [unit(arm, seed) for seed in seeds] for arm in GRAPH_ARMS}
    run([one for same_seed in zip(*units.values(), strict=True) for one in same_seed])
    scores = {table.arm_key(arm): [json.loads(one.files[0].read_text()) for one in some] for arm, some in units.items()}
    rows = table.control_rows(scores)
    record = {
        "unit": "top-1 accuracy in percent on the test images; mean and half of the 95 % interval over seeds",
        "n_train": len(data.labels),
        "n_test": len(data.truth),
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
    return record, [folder / name for name in _TABLES]


def _score_arm(
    arm: "GraphArm", seed: int, options: GraphOptions, data: TrainAndTest, checkpoint: Path, path: Path
) -> None:
    from miner.engine import json_bytes
    from miner.refine.comparison.controls import arm_features
    from miner.refine.comparison.scores import score
    from miner.refine.network.resources import graph_device

    own = RefineOptions.parse(options.model_dump(include=set(RefineOptions.model_fields)) | {"seed": seed})
    candidates = arm_features(arm, data.features, data.lists, own, checkpoint)
    scores = score(candidates, data.labels, data.truth, seed, graph_device(options.device))
    path.write_bytes(json_bytes(scores))
    found = ", ".join(f"{name} {result['test']:.2f} %" for name, result in scores.items())
    print(f"{arm.name}, {arm.mode}, seed {seed}: {found}", file=sys.stderr, flush=True)


def _result(manifest: Record, folder: Path, fresh: bool = True) -> Result:
    from miner.artifacts.manifests import GraphManifest, verdict_sentences
    from miner.refine.comparison.controls_table import row_name
    from miner.tables import interval_text

    path = folder / "manifest.json"
    made = GraphManifest.of(manifest, path)
    lines = [
        f"eval graph: {row_name(row)}: linear {interval_text(row['linear'], 2)}, kNN {interval_text(row['knn'], 2)}"
        for row in made.rows
    ]
    sentences = verdict_sentences(made.verdict)
    lines += [f"eval graph: {line}" for line in sentences]
    lines.append(
        f"eval graph: {made.n_train:,} training and {counted(made.n_test, 'test image')}, accuracy in %; table in {folder}"
    )
    return Result("eval graph", manifest, lines, fresh, [("graph refinement", line) for line in sentences], path=path)
