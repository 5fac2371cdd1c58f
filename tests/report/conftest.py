"""Workspaces to report about."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from miner.artifacts.stage_folder import Stage
from miner.artifacts.workspace import Workspace
from tests.report.workspaces import BAND, make_graphs, mine, write_embeddings

WorkspaceMaker = Callable[..., Workspace]


@pytest.fixture
def make_workspace(tmp_path: Path) -> WorkspaceMaker:
    """Embeddings and pairs of a source; the similarities of the pairs are those of random directions, the rest is real."""

    def make(source: str = "sample", images: int = 40, name: str = "w", labels: bool = True, **more: Any) -> Workspace:
        workspace = Workspace(tmp_path / name)
        write_embeddings(workspace, source, images, labels, more.get("errors", []))
        mine(workspace, more.get("band", BAND), more.get("extras", False))
        return workspace

    return make


@pytest.fixture(scope="session")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """`make_graphs` of 50 images, of which an epoch leaves out 2, since its last batch is not full. Not to be changed."""
    return make_graphs(Workspace(tmp_path_factory.mktemp("graphs") / "w"), "sample", 50)


@pytest.fixture
def add_run() -> Callable[..., None]:
    """A finished training run with its metrics, and a kNN and a linear result if asked for."""

    def add(workspace: Workspace, name: str = "moco", knn: bool = False, finished: bool = True) -> None:
        stage = Stage(workspace.run(name), {"method": "moco", "pairs_arm": "semantic", "epochs": 2, "inputs": "none"})
        stage.begin(force=True)
        lines = [{"step": 10 * n, "epoch": 1, "lr": 0.1, "loss": 5.0 / n, "accuracy": n / 10} for n in range(1, 6)]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (stage.folder / "metrics.jsonl").write_text(text + '{"step": 60, "lo')
        if finished:
            record = {"method": "moco", "pairs_arm": "semantic", "images": 40, "pairs": 9, "epochs": 2, "steps": 50}
            record |= {"pair_label_precision": None, "final_loss": 1.25}
            stage.finish(record, [stage.folder / "metrics.jsonl"])
        if knn:
            result = {"k": 20, "temperature": 0.07, "trained": 87.6, "random": 54.3}
            record = {"results": [result], "majority": 10.0, "n_gallery": 32, "n_test": 8, "request": {"limit": None}}
            record["verdict"] = ["trained, k = 20: better than random weights: +33.3 points"]
            (stage.folder / "eval").mkdir()
            (stage.folder / "eval" / "knn.json").write_text(json.dumps(record))
            sides = {"trained": {"test": 91.2, "chosen": 0.01}, "random": {"test": 43.9, "chosen": 0.1}}
            record = {"results": sides, "protocol": "fast", "classifier": "logistic regression", "majority": 10.0}
            (stage.folder / "eval" / "linear-best.json").write_text(json.dumps({**record, "weights": "best"}))

    return add
