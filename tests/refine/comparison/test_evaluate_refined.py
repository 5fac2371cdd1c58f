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
from miner.errors import MinerError, UsageError
from miner.evaluate.options import KnnOptions, LinearOptions
from miner.refine.comparison.evaluate_refined import knn_of_refined as knn
from miner.refine.comparison.evaluate_refined import linear_of_refined as linear
from miner.refine.comparison.run import compare
from miner.refine.comparison.test_features import judged, open_refined
from miner.refine.modes import mode_network
from miner.refine.options import GraphOptions, RefineStageOptions
from miner.refine.run import refine
from miner.verify.run import verify

NETWORK = {"neighbors": 3, "dim": 8, "epochs": 3, "lr": 0.01, "seed": 5, "device": "cpu"}
MODES = ["inductive", "transductive", "as-code", "raw"]


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
    asked = {"refined": True, "test": str(test), "device": "cpu"}
    near, straight = (
        command(kind.parse(asked), workspace) for command, kind in ((knn, KnnOptions), (linear, LinearOptions))
    )
    assert near.record["features"] == straight.record["features"] == MODES
    assert (
        near.lines[1].startswith("eval knn: refined, k=20 T=0.07: inductive ")
        and "(train 40, test 60)" in near.lines[1]
    )
    rows = compare(GraphOptions.parse({**NETWORK, "test": str(test), "seeds": 1}), workspace).record["rows"]
    wanted = {row["mode"]: row for row in rows if row["arm"] == "graph network"}
    wanted["raw"] = next(row for row in rows if row["arm"] == "raw features")
    for mode in MODES:
        assert near.record["results"][1][mode] == wanted[mode]["knn"]["mean"], mode
        assert straight.record["results"][mode]["test"] == wanted[mode]["linear"]["mean"], mode
    assert verify(str(workspace.root)).record["folders"][str(workspace.root / "refined/modes")] == 2
    assert not knn(KnnOptions.parse(asked), workspace).fresh
    path = workspace.root / "refined" / "eval" / "knn.json"
    path.write_text(path.read_text().replace('"k": 20', '"k": 21'))
    with pytest.raises(MinerError, match=r"knn\.json"):
        verify(str(workspace.root))


def test_fitting_stopped_halfway_keeps_the_network_that_was_finished(refined, monkeypatch) -> None:
    workspace, test = refined
    asked = KnnOptions.parse({"refined": True, "test": str(test), "device": "cpu"})
    fitted: list[int] = []

    def fit_or_stop(*arguments: object) -> None:
        if len(fitted) == 1:
            fitted.append(0)
            raise MinerError("stopped")
        fitted.append(1)
        fit_in_mode(*arguments)

    fit_in_mode = mode_network.fit_in_mode
    monkeypatch.setattr(mode_network, "fit_in_mode", fit_or_stop)
    with pytest.raises(MinerError, match="stopped"):
        knn(asked, workspace)
    assert knn(asked, workspace).record["features"] == MODES
    assert fitted == [1, 0, 1]
    assert not (workspace.root / "refined" / "modes" / "parts").exists()


def test_the_inductive_network_is_the_one_that_was_kept_and_hears_no_test_image(refined) -> None:
    workspace, test = refined
    train = []
    for limit in (20, 60):
        subject = open_refined(workspace, test=str(test), limit=limit, device="cpu", force=True)
        mode, rows = next(judged(subject, force=True).features)
        assert (mode, len(rows)) == ("inductive", 40 + limit)
        train.append(rows[:40])
    assert torch.equal(*train)
    stored = EmbeddingStore(Workspace(workspace.root / "refined")).vectors
    np.testing.assert_array_equal(train[0].numpy().astype(stored.dtype), stored)


def test_what_cannot_be_judged_is_refused(refined) -> None:
    workspace, test = refined
    asked = KnnOptions.parse({"refined": True, "test": str(test), "device": "cpu"})
    with pytest.raises(UsageError, match="--gallery has no meaning with --refined"):
        KnnOptions.parse({"refined": True, "gallery": "sample"})
    with pytest.raises(UsageError, match="--mode has no meaning with --refined"):
        LinearOptions.parse({"refined": True, "mode": "augmented"})
    with pytest.raises(UsageError, match="--test SOURCE"):
        knn(KnnOptions.parse({"refined": True}), workspace)
    path = workspace.root / "refined" / "embeddings" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "request": {**manifest["request"], "run": "graphs"}}))
    with pytest.raises(UsageError, match="refines run graphs"):
        knn(asked, workspace)
    path.write_text(json.dumps({**manifest, "request": {**manifest["request"], "embeddings": "others"}}))
    with pytest.raises(MinerError, match="made of other embeddings"):
        knn(asked, workspace)
    path.unlink()
    with pytest.raises(MinerError, match="Run `miner refine` first"):
        knn(asked, workspace)
