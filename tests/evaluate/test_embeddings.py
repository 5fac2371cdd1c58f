"""The encoder's own row: the embeddings judged without a run, and beside one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.runs.labelled import is_held_out
from miner.artifacts.workspace import Workspace
from miner.embed.encoders.base import Encoder
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.errors import MinerError, UsageError
from miner.evaluate.options import KnnOptions, LinearOptions
from miner.evaluate.run import knn, linear
from miner.learning.nearest import knn_vote
from miner.stages import STAGES
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from tests.artifacts.class_folders import class_folders
from tests.embed.small_encoder import small_encoder
from tests.train.mini_workspace import TINY_RUN


@pytest.fixture(scope="module")
def small() -> Encoder:
    return small_encoder()


@pytest.fixture
def workspace(tmp_path: Path, small: Encoder, monkeypatch) -> Workspace:
    """120 embedded images of the sample, and no run."""
    monkeypatch.setattr("miner.embed.worker.load_encoder", lambda *_, **__: small)
    workspace = Workspace(tmp_path / "w")
    embed(EmbedOptions(source="sample", limit=120, device="cpu"), workspace)
    return workspace


def judged(stage: str, workspace: Workspace, **options: object) -> dict:
    asked = STAGES[stage].options.parse({"device": "cpu", **options})
    return STAGES[stage].run(asked, workspace, force=False).record


def test_without_a_run_the_embeddings_are_judged(workspace: Workspace) -> None:
    record = judged("eval knn", workspace)
    store = EmbeddingStore(workspace)
    rows, labels = torch.from_numpy(np.array(store.vectors, np.float32)), torch.from_numpy(store.labels)
    rows = torch.nn.functional.normalize(rows, dim=1)
    test = torch.tensor([is_held_out(key, 0.2) for key in store.keys])
    named = knn_vote(rows[test], rows[~test], labels[~test], k=20, temperature=0.07, class_count=10)
    expected = 100 * (named == labels[test]).float().mean().item()
    assert record["results"][1]["embeddings"] == pytest.approx(expected, abs=1e-3)
    assert "than the most frequent class" in record["verdict"][1]
    result = linear(LinearOptions(device="cpu"), workspace)
    assert result.fresh and result.record["verdict"] in " ".join(result.lines)
    assert not linear(LinearOptions(device="cpu", embeddings=True), workspace).fresh
    assert {path.name for path in (workspace.root / "eval").iterdir()} == {"knn.json", "linear.json"}


def test_test_images_are_embedded_by_the_same_encoder(workspace: Workspace, tmp_path: Path) -> None:
    test = class_folders(tmp_path / "test", {0: "T-shirt/top".replace("/", "-"), 1: "Trouser"}, skip=120)
    with pytest.raises(MinerError, match="is not among the classes"):
        judged("eval knn", workspace, test=test)
    assert EmbeddingStore(workspace.test).manifest.source.spec == test


def test_a_run_is_compared_with_the_encoder(workspace: Workspace) -> None:
    train(TrainOptions(**{**TINY_RUN, "epochs": 1, "batch_size": 32}, pairs_arm="none"), workspace)
    alone = judged("eval knn", workspace, embeddings=True)
    result = knn(KnnOptions(device="cpu"), workspace)
    beside = json.loads((workspace.run("moco") / "eval/knn.json").read_text())
    assert [row["encoder"] for row in beside["results"]] == [row["embeddings"] for row in alone["results"]]
    for sentence in beside["verdict"]:
        assert "random weights" in sentence and "the encoder" in sentence
        assert sentence in " ".join(result.lines)
    record = linear(LinearOptions(device="cpu"), workspace).record
    assert set(record["results"]) == {"trained", "random", "encoder"} and "than the encoder" in record["verdict"]


def test_what_embeddings_have_not_is_refused(workspace: Workspace) -> None:
    for values in ({"best": True}, {"layer": "projector"}, {"gallery": "sample"}, {"run": "moco"}):
        with pytest.raises(UsageError, match="--embeddings evaluates the embedded images"):
            KnnOptions.parse({"embeddings": True, **values})
    with pytest.raises(MinerError, match="no finished run"):
        judged("eval knn", workspace, teacher=True)
