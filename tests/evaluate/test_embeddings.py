"""The encoder's own row: the embeddings judged without a run, and beside one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.runs.labelled import LabelledImages, is_held_out, split_labelled
from miner.artifacts.workspace import Workspace
from miner.downstream.network import encoded_features
from miner.downstream.run import knn_beside_encoder, linear_beside_encoder
from miner.embed.encoders.base import Encoder
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.engine import read_json, write_signed
from miner.errors import MinerError, UsageError
from miner.evaluate.embedded import NotComparedError, embedded_rows
from miner.evaluate.options import KnnOptions, LinearOptions
from miner.learning.nearest import knn_vote
from miner.source import open_source
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
    monkeypatch.setattr("miner.downstream.alike.encoder_of", lambda *_: small)
    monkeypatch.setattr("miner.downstream.alike.load_encoder", lambda *_: small_encoder(seed=1))
    workspace = Workspace(tmp_path / "w")
    embed(EmbedOptions(source="sample", limit=120, device="cpu"), workspace)
    return workspace


def judged(stage: str, workspace: Workspace, force: bool = False, **options: object) -> dict:
    asked = STAGES[stage].options.parse({"device": "cpu", **options})
    return STAGES[stage].run(asked, workspace, force=force).record


def test_without_a_run_the_embeddings_are_judged(workspace: Workspace) -> None:
    record = judged("eval knn", workspace)
    store = EmbeddingStore(workspace)
    rows, labels = torch.from_numpy(np.array(store.vectors, np.float32)), torch.from_numpy(store.labels)
    rows = torch.nn.functional.normalize(rows, dim=1)
    test = torch.tensor([is_held_out(key, 0.2) for key in store.keys])
    named = knn_vote(rows[test], rows[~test], labels[~test], k=20, temperature=0.07, class_count=10)
    expected = 100 * (named == labels[test]).float().mean().item()
    assert record["results"][1]["embeddings"] == pytest.approx(expected, abs=1e-3)
    for phrase in ("than the most frequent class", "random weights"):
        assert phrase in record["verdict"][1]
    result = linear_beside_encoder(LinearOptions(device="cpu"), workspace)
    assert result.fresh and result.record["verdict"] in " ".join(result.lines)
    assert not linear_beside_encoder(LinearOptions(device="cpu", embeddings=True), workspace).fresh
    assert {path.name for path in (workspace.root / "eval").iterdir()} == {"knn.json", "linear.json"}


def test_random_weights_of_the_encoder_see_the_same_images(workspace: Workspace) -> None:
    record = judged("eval knn", workspace)
    source, keys = open_source("sample"), EmbeddingStore(workspace).keys
    images = LabelledImages(source, [entry for entry in source.entries if entry.key in set(keys)], "sample")
    rows = torch.nn.functional.normalize(encoded_features(small_encoder(seed=1), images, 50, torch.device("cpu"), 1))
    test = torch.tensor([is_held_out(entry.key, 0.2) for entry in images.entries])
    labels = images.labels()
    named = knn_vote(rows[test], rows[~test], labels[~test], k=20, temperature=0.07, class_count=10)
    assert record["results"][1]["random"] == pytest.approx(
        100 * (named == labels[test]).float().mean().item(), abs=1e-3
    )


def test_what_random_weights_would_cost_is_said(workspace: Workspace, monkeypatch) -> None:
    monkeypatch.setattr("miner.evaluate.embedded._MOST_ENCODED", 100)
    result = knn_beside_encoder(KnnOptions(device="cpu"), workspace)
    assert "random" not in result.record["results"][0]
    reason = "not compared with random weights: 120 images would be encoded again. --limit 50 compares them on fewer"
    assert reason in " ".join(result.lines)
    assert "random" in judged("eval knn", workspace, limit=50, force=True)["results"][0]


def test_vectors_of_no_encoder_are_judged_alone(workspace: Workspace) -> None:
    manifest = read_json(workspace.embeddings / "manifest.json")
    del manifest["request"]["encoder"]
    write_signed(workspace.embeddings / "manifest.json", manifest)
    assert "random weights: no encoder is known" in judged("eval linear", workspace)["verdict"]


def test_test_images_are_embedded_by_the_same_encoder(workspace: Workspace, tmp_path: Path) -> None:
    test = class_folders(tmp_path / "test", {0: "T-shirt/top".replace("/", "-"), 1: "Trouser"}, skip=120)
    with pytest.raises(MinerError, match="is not among the classes"):
        judged("eval knn", workspace, test=test)
    assert EmbeddingStore(workspace.test).manifest.source.spec == test


def test_a_run_is_compared_with_the_encoder(workspace: Workspace, tmp_path: Path) -> None:
    train(TrainOptions(**{**TINY_RUN, "epochs": 1, "batch_size": 32}, pairs_arm="none"), workspace)
    alone = judged("eval knn", workspace, embeddings=True)
    result = knn_beside_encoder(KnnOptions(device="cpu"), workspace)
    beside = json.loads((workspace.run("moco") / "eval/knn.json").read_text())
    assert [row["encoder"] for row in beside["results"]] == [row["embeddings"] for row in alone["results"]]
    for sentence in beside["verdict"]:
        assert "random weights" in sentence and "the encoder" in sentence
        assert sentence in " ".join(result.lines)
    record = linear_beside_encoder(LinearOptions(device="cpu"), workspace).record
    assert set(record["results"]) == {"trained", "random", "encoder"} and "than the encoder" in record["verdict"]
    test = class_folders(tmp_path / "test", {0: "T-shirt-top", 1: "Trouser"}, skip=140)
    gallery = class_folders(tmp_path / "gallery", {0: "T-shirt-top", 1: "Trouser"})
    others = {"gallery": gallery, "test": test, "limit": 8}
    record = judged("eval knn", workspace, force=True, **others)
    assert "encoder" in record["results"][0] and "the encoder" in record["verdict"][0]
    split = split_labelled(None, "", **others)
    with pytest.raises(
        NotComparedError, match=r"16 images have no vector\. --limit 2500 compares them on fewer images"
    ):
        embedded_rows(workspace, split, torch.device("cpu"), own=False)


def test_what_embeddings_have_not_is_refused(workspace: Workspace) -> None:
    for values in ({"best": True}, {"layer": "projector"}, {"gallery": "sample"}, {"run": "moco"}):
        with pytest.raises(UsageError, match="--embeddings evaluates the embedded images"):
            KnnOptions.parse({"embeddings": True, **values})
    with pytest.raises(MinerError, match="no finished run"):
        judged("eval knn", workspace, teacher=True)
