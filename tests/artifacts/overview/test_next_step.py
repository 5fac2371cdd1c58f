"""The command that is named at the end of every other."""

import json
from pathlib import Path

import pytest

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.overview.next_step import next_step
from miner.artifacts.overview.parts import Part
from miner.artifacts.workspace import Workspace
from miner.engine import write_signed
from tests.artifacts.manifests import embeddings_record, pairs_record, run_record

_RUN = "simclr, 8 steps, 0 pairs"


@pytest.mark.parametrize(
    ("content", "state", "command"),
    [
        (_RUN, "fresh", "miner eval knn s --gallery 'my photos' -w lab"),
        (f"{_RUN}; evaluated: knn", "fresh", "miner embed SOURCE --encoder run:lab/runs/s -w lab"),
        ("", "unfinished", "miner train --name s -w lab"),
    ],
)
def test_run_without_embeddings_is_judged_not_embedded(content, state, command, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("lab/runs/s")
    run.mkdir(parents=True)
    write_signed(run / "manifest.json", {**run_record("simclr"), "source": "my photos", "files": {}})
    parts = [Part(run, "runs/s", "images, pairs", content, state)]
    assert next_step(Workspace(Path("lab")), parts).command == command


def test_interrupted_embedding_keeps_its_encoder(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.embeddings.mkdir()
    (workspace.embeddings / "request.json").write_text(json.dumps({"encoder": "resnet50"}))
    parts = [
        Part(workspace.embeddings, "embeddings", "my photos", state="unfinished", note="the same command continues")
    ]
    assert next_step(workspace, parts, placed=False).command == "miner embed 'my photos' --encoder resnet50"
    assert next_step(workspace, [], placed=False).command == "miner start SOURCE"


def with_pairs(folder: Path, embeddings: dict[str, object]) -> Workspace:
    workspace = Workspace(folder)
    for path, record in ((workspace.embeddings, embeddings), (workspace.pairs, pairs_record(3))):
        path.mkdir()
        write_signed(path / "manifest.json", {**record, "files": {}})
    return workspace


@pytest.mark.parametrize(("request_", "command"), [({"encoder": "x"}, "publish --license"), ({}, "status")])
def test_refined_features_are_not_published(request_, command, tmp_path: Path) -> None:
    workspace = with_pairs(tmp_path, {**embeddings_record("photos", 40), "request": request_})
    names = ("embeddings", "pairs", "report", "review", "shards", "runs/s")
    parts = [Part(tmp_path / name, name, "", content="evaluated: knn") for name in names]
    assert next_step(workspace, parts, placed=False).command.startswith(f"miner {command}")
    before = next_step(workspace, parts[:1], placed=False).command
    assert before == f"miner pairs{'' if request_ else ' --rule shared --max 0.99'}"


def test_vectors_alone_never_lead_to_a_refusal(tmp_path: Path) -> None:
    record = {**embeddings_record("my/v.npy", 40), "source": {"spec": "my/v.npy", "without_images": True}}
    workspace = with_pairs(tmp_path, record)
    parts = [Part(tmp_path / name, name, "") for name in ("embeddings", "pairs", "report")]
    assert next_step(workspace, parts, placed=False).command == "miner embed SOURCE --vectors my/v.npy --force"
    assert EmbeddingsManifest.read(workspace).verdict.startswith("every row has a vector")
