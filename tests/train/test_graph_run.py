"""`miner train --method graphnnclr` on disk."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from miner.artifacts.runs.inputs import find_inputs
from miner.artifacts.runs.manifest import BACKBONE_FILE, GRAPH_FILES, TEACHER_FILE
from miner.artifacts.runs.networks import load_backbone
from miner.artifacts.workspace import Workspace
from miner.embed.encoders import load_encoder
from miner.errors import MinerError, UsageError
from miner.evaluate.options import KnnOptions, LinearOptions
from miner.evaluate.run import knn, linear
from miner.evaluate.setup import open_setup
from miner.train.loop.metrics import read_metrics
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from tests.train.mini_workspace import TINY_RUN, kept_checkpoint, sample_entries, write_shards

IMAGES, EDGES = 48, 3
OPTIONS = {
    **{**TINY_RUN, "stem": "auto", "backbone": "vit_tiny", "patch_size": 16},
    **{"method": "graphnnclr", "epochs": 2, "graph_window": 1, "graph_edges": EDGES, "hidden_dim": 16},
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = write_shards(tmp_path_factory.mktemp("graph"), images=IMAGES, pairs=10)
    with kept_checkpoint():
        train(TrainOptions(**OPTIONS), workspace)
    return workspace


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Images without labels."""
    workspace = write_shards(tmp_path_factory.mktemp("prior"), images=IMAGES, pairs=10, labelled=False)
    train(TrainOptions(**OPTIONS, graph_prior=True), workspace)
    return workspace


def manifest(workspace: Workspace) -> dict[str, Any]:
    return json.loads((workspace.run("graphnnclr") / "manifest.json").read_text())


def test_graphs_and_banks_are_files_of_the_run(workspace: Workspace) -> None:
    run = workspace.run("graphnnclr")
    assert set(GRAPH_FILES) <= manifest(workspace)["files"].keys()
    keys = pq.read_table(run / "graph/nodes.parquet")["key"].to_pylist()
    assert sorted(keys) == sorted(entry.key for entry in sample_entries(IMAGES)[1])
    state = torch.load(run / "checkpoints/last.pt", weights_only=True)["method"]
    for stream in ("teacher", "student"):
        bank = np.load(run / f"graph/bank-{stream}.npy")
        assert bank.dtype == np.float32 and np.array_equal(bank, state[f"{stream}_bank.features"].numpy())
        np.testing.assert_allclose(np.linalg.norm(bank, axis=1), 1, atol=1e-5)
        node, neighbour, epoch, similarity = (
            column.to_numpy() for column in pq.read_table(run / f"graph/graph-{stream}.parquet").columns
        )
        assert (node != neighbour).all() and neighbour.min() >= 0 and neighbour.max() < IMAGES
        assert np.unique(epoch).tolist() == [0, 1] and np.abs(similarity).max() <= 1 + 1e-5
        assert np.unique(np.stack([node, epoch]), axis=1, return_counts=True)[1].max() == EDGES
        assert np.bincount(node).tolist() == [EDGES] * IMAGES


def test_purity_is_logged_where_epochs_end(workspace: Workspace) -> None:
    lines = read_metrics(workspace.run("graphnnclr") / "metrics.jsonl")
    ends = [line for line in lines if "purity" in line]
    assert [line["epoch"] for line in ends] == [1, 2]
    assert all(0 < line["purity"] < 1 and 0 < line["student_purity"] < 1 for line in ends)
    assert {"neighbour_views", "neighbour_churn"} <= lines[-1].keys()


def test_pairs_of_a_prior_are_no_items_and_give_views_at_once(workspace: Workspace, prior: Workspace) -> None:
    as_items, as_prior = manifest(workspace), manifest(prior)
    assert (as_items["items"], as_prior["items"]) == (IMAGES + 10, IMAGES) and as_prior["pairs"] == 10
    lines = read_metrics(prior.run("graphnnclr") / "metrics.jsonl")
    assert any(line["neighbour_views"] > 0 for line in lines if line["epoch"] == 1)
    assert lines[-1]["purity"] is None  # there are no labels


def test_a_prior_needs_pairs() -> None:
    with pytest.raises(UsageError, match="--graph-prior has no meaning with --pairs-arm none"):
        TrainOptions.parse({"method": "graphnnclr", "pairs_arm": "none", "graph_prior": True})


def test_teacher_and_student_encode_side_by_side(workspace: Workspace) -> None:
    run = workspace.run("graphnnclr")
    encoder = load_encoder(f"run:{run}", torch.device("cpu"), layer="streams")
    pixels = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
    images = encoder.preprocess.normalise(pixels)
    with torch.inference_mode():
        streams = [load_backbone(run, name).module(images) for name in (TEACHER_FILE, BACKBONE_FILE)]
    assert not torch.allclose(*streams)
    expected = torch.cat([torch.nn.functional.normalize(features) for features in streams], dim=1) / 2**0.5
    torch.testing.assert_close(encoder.encode(pixels, torch.float32), expected, atol=1e-5, rtol=1e-4)
    state = torch.load(run / "checkpoints/last.pt", weights_only=True)["method"]
    teacher = load_backbone(run, TEACHER_FILE).module.state_dict()
    assert all(torch.equal(value, state[f"teacher.0.{name}"]) for name, value in teacher.items())


def test_the_teacher_is_judged_beside_the_student(workspace: Workspace) -> None:
    student, teacher = (knn(KnnOptions(device="cpu", teacher=teacher), workspace) for teacher in (False, True))
    assert (student.record["weights"], teacher.record["weights"]) == ("last", "teacher")
    for options, file, record in (
        (KnnOptions(device="cpu"), BACKBONE_FILE, student.record),
        (KnnOptions(device="cpu", teacher=True), TEACHER_FILE, teacher.record),
    ):
        setup = open_setup(options, workspace.run("graphnnclr"), find_inputs(workspace, with_pairs=False))
        expected = load_backbone(workspace.run("graphnnclr"), file).module.state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in setup.trained.module.state_dict().items())
        assert record["results"][0]["random"] == student.record["results"][0]["random"]
    names = {path.name for path in (workspace.run("graphnnclr") / "eval").iterdir()}
    assert names == {"knn.json", "knn-teacher.json"} and "weights of the teacher" in " ".join(teacher.lines)
    fitted = linear(LinearOptions(device="cpu", teacher=True), workspace).record
    assert fitted["weights"] == "teacher" and (workspace.run("graphnnclr") / "eval/linear-teacher.json").exists()
    with pytest.raises(UsageError, match="--best and --teacher name two networks"):
        KnnOptions.parse({"best": True, "teacher": True})


def test_only_such_a_run_has_a_teacher(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run of dino or graphnnclr"):
        load_encoder("efficientnet_lite0", torch.device("cpu"), layer="streams")
    control = write_shards(tmp_path, images=24, pairs=8)
    train(TrainOptions(**{**TINY_RUN, "epochs": 1}), control)
    with pytest.raises(MinerError, match="kept no teacher"):
        knn(KnnOptions(device="cpu", teacher=True), control)
    with pytest.raises(MinerError, match="kept no teacher: only --method dino, graphnnclr and patchmix do"):
        load_encoder(f"run:{control.run('moco')}", torch.device("cpu"), layer="streams")
