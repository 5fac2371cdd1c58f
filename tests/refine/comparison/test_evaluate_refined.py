"""`miner eval knn|linear --refined` on folders: what `miner eval graph` says of the same network."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.engine.records import Result
from miner.errors import MinerError, UsageError
from miner.evaluate.options import KnnOptions, LinearOptions
from miner.refine.comparison.evaluate_refined import open_refined
from miner.refine.comparison.mode_features import mode_features
from miner.refine.modes import modes
from miner.refine.options import RefineStageOptions
from miner.refine.run import refine
from miner.stages import STAGES
from miner.verify.run import verify

NETWORK = {"neighbors": 3, "dim": 8, "epochs": 3, "lr": 0.01, "seed": 5, "device": "cpu"}
MODES = ["inductive", "transductive", "as-code", "raw"]


def evaluate(stage: str, workspace: Workspace, force: bool = False, **asked: object) -> Result:
    command = STAGES[stage]
    return command.run(command.options.parse({"device": "cpu", **asked}), workspace, force)


@pytest.fixture
def refined(make_photos, tmp_path: Path) -> tuple[Workspace, Path]:
    """A workspace with refined embeddings, and a folder of test images."""
    images, test = make_photos(count=40, classes=4), make_photos("test", count=60, classes=4)
    workspace = Workspace(tmp_path / "workspace")
    embed(EmbedOptions.parse({"source": str(images)}), workspace)
    refine(RefineStageOptions.parse(NETWORK), workspace)
    return workspace, test


def test_accuracies_are_those_of_eval_graph(refined) -> None:
    workspace, test = refined
    asked = {"refined": True, "test": str(test)}
    near, straight = (evaluate(stage, workspace, **asked) for stage in ("eval knn", "eval linear"))
    assert near.record["features"] == straight.record["features"] == MODES
    assert (
        near.lines[1].startswith("eval knn: refined, k=20 T=0.07: inductive ")
        and "(train 40, test 60)" in near.lines[1]
    )
    for sentence in [*near.record["verdict"], straight.record["verdict"]]:
        assert sentence.startswith("inductive") and "the raw features: " in sentence
        assert sentence in " ".join([*near.lines, *straight.lines])
    rows = evaluate("eval graph", workspace, **NETWORK, test=str(test), seeds=1).record["rows"]
    wanted = {row["mode"]: row for row in rows if row["arm"] == "graph network"}
    wanted["raw"] = next(row for row in rows if row["arm"] == "raw features")
    for mode in MODES:
        assert near.record["results"][1][mode] == wanted[mode]["knn"]["mean"], mode
        assert straight.record["results"][mode]["test"] == wanted[mode]["linear"]["mean"], mode
    assert verify(str(workspace.root)).record["folders"][str(workspace.root / "refined/modes")] == 2
    assert not evaluate("eval knn", workspace, **asked).fresh
    path = workspace.root / "refined" / "eval" / "knn.json"
    path.write_text(path.read_text().replace('"k": 20', '"k": 21'))
    with pytest.raises(MinerError, match=r"knn\.json"):
        verify(str(workspace.root))


def test_stopped_fitting_keeps_the_finished_network(refined, monkeypatch) -> None:
    workspace, test = refined
    asked = {"refined": True, "test": str(test)}
    fitted: list[int] = []

    def fit_or_stop(*arguments: object) -> None:
        if len(fitted) == 1:
            fitted.append(0)
            raise MinerError("stopped")
        fitted.append(1)
        fit_in_mode(*arguments)

    fit_in_mode = modes.fit_in_mode
    monkeypatch.setattr(modes, "fit_in_mode", fit_or_stop)
    with pytest.raises(MinerError, match="stopped"):
        evaluate("eval knn", workspace, **asked)
    assert evaluate("eval knn", workspace, **asked).record["features"] == MODES
    assert fitted == [1, 0, 1]
    assert not (workspace.root / "refined" / "modes" / "parts").exists()


def test_inductive_network_is_kept_and_ignores_test_images(refined) -> None:
    workspace, test = refined
    train = []
    for limit in (20, 60):
        evaluate("eval knn", workspace, force=True, refined=True, test=str(test), limit=limit)
        data = mode_features(workspace, *open_refined(workspace, "cpu"), {"limit": limit}, force=True)
        mode, rows = next(data.features)
        assert (mode, len(rows)) == ("inductive", 40 + limit)
        train.append(rows[:40])
    assert torch.equal(*train)
    stored = EmbeddingStore(Workspace(workspace.root / "refined")).vectors
    np.testing.assert_array_equal(train[0].numpy().astype(stored.dtype), stored)


def test_what_cannot_be_evaluated_is_refused(refined) -> None:
    workspace, test = refined
    asked = {"refined": True, "test": str(test)}
    with pytest.raises(UsageError, match="--gallery has no meaning with --refined"):
        KnnOptions.parse({"refined": True, "gallery": "sample"})
    with pytest.raises(UsageError, match="--mode has no meaning with --refined"):
        LinearOptions.parse({"refined": True, "mode": "augmented"})
    with pytest.raises(UsageError, match="--test SOURCE"):
        evaluate("eval knn", workspace, refined=True)
    path = workspace.root / "refined" / "embeddings" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "request": {**manifest["request"], "run": "graphs"}}))
    with pytest.raises(UsageError, match="refines run graphs"):
        evaluate("eval knn", workspace, **asked)
    path.write_text(json.dumps({**manifest, "request": {**manifest["request"], "embeddings": "others"}}))
    with pytest.raises(MinerError, match="belongs to other embeddings"):
        evaluate("eval knn", workspace, **asked)
    path.unlink()
    with pytest.raises(MinerError, match="Run `miner refine` first"):
        evaluate("eval knn", workspace, **asked)
