"""Records of finished stages, read as typed objects."""

import importlib
import json
import re
from pathlib import Path

import pytest

from miner.artifacts.artifact import Artifact, StageArtifact
from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.manifests import CalibrationRecord, ShardsManifest
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.runs.manifest import RunManifest
from miner.artifacts.stage_folder import Stage
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from tests.artifacts.manifests import embeddings_record, pairs_record, run_record, shards_record

RECORDS = {"embeddings": embeddings_record("sample", 3), "pairs": pairs_record(2), "shards": shards_record(3, 2)}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for name, record in RECORDS.items():
        write(tmp_path / name / "manifest.json", {"files": {}, **record})
    return Workspace(tmp_path)


def write(path: Path, record: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


def test_missing_and_unfinished_stages_say_what_to_run(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(MinerError, match=r"pairs is missing\. Run `miner pairs` first"):
        PairsManifest.read(workspace)
    Stage(workspace.pairs, {}).begin(force=False)
    with pytest.raises(MinerError, match=r"pairs has not finished\. Run `miner pairs` first"):
        PairsManifest.read(workspace)
    with pytest.raises(MinerError, match=r"calibration\.json is missing\. Run `miner calibrate` first"):
        CalibrationRecord.read(workspace)
    with pytest.raises(MinerError, match="The run moco has not finished"):
        RunManifest.read(workspace.run("moco"))
    assert PairsManifest.find(workspace) is None and RunManifest.find(workspace.run("moco")) is None


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"files": None}, "files"),
        ({"request": 3}, "request"),
        ({"request": {"embeddings": "none", "band": {"min": 0.9}}}, "request.band"),
        ({"pairs": "2"}, "pairs"),
        ({"degree": {"mean": 1.0, "median": 1.0}}, "degree.max"),
        ({"labels": {"precision": None, "chance": 0.1, "by_threshold": {}}}, "labels.by_threshold"),
    ],
)
def test_damage_is_named_by_its_key(change: dict[str, object], key: str, workspace: Workspace) -> None:
    write(PairsManifest.path(workspace), {"files": {}, **RECORDS["pairs"], **change})
    with pytest.raises(MinerError, match=rf"manifest\.json is damaged \({key}: .*`miner pairs --force`"):
        PairsManifest.read(workspace)


@pytest.mark.parametrize("key", ["files", "request", "encoder", "source", "dim", "blocks"])
def test_missing_key_is_damage(key: str, workspace: Workspace) -> None:
    record = {"files": {}, **RECORDS["embeddings"]}
    del record[key]
    write(EmbeddingsManifest.path(workspace), record)
    with pytest.raises(MinerError, match=rf"is damaged \({key}: "):
        EmbeddingsManifest.read(workspace)


def test_keys_of_other_versions_stay_in_the_record(workspace: Workspace) -> None:
    record = {"files": {}, **RECORDS["pairs"], "from_the_future": [1, 2.5]}
    write(PairsManifest.path(workspace), record)
    before = PairsManifest.path(workspace).read_bytes()
    made = PairsManifest.read(workspace)
    assert made.record == record and made.asked == record["request"]
    assert PairsManifest.path(workspace).read_bytes() == before


def test_stages_of_other_embeddings_are_refused(workspace: Workspace) -> None:
    embeddings = EmbeddingsManifest.read(workspace)
    for stage in (PairsManifest, ShardsManifest):
        assert stage.find(workspace) is not None and stage.find(workspace, of=embeddings) is None
        with pytest.raises(MinerError, match=f"belongs to other embeddings.*`{stage.command} --force`"):
            stage.read(workspace, of=embeddings)
        record = json.loads(stage.path(workspace).read_text())
        record["request"]["embeddings"] = embeddings.identity
        write(stage.path(workspace), record)
        assert stage.read(workspace, of=embeddings).belongs_to(embeddings)


def test_files_are_checked_against_the_record(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "runs" / "moco", {"inputs": "none"})
    stage.begin(force=False)
    (stage.folder / "backbone.safetensors").write_bytes(b"weights")
    record = {name: value for name, value in run_record("moco").items() if name != "request"}
    stage.finish(record, [stage.folder / "backbone.safetensors"])
    made = RunManifest.read(stage.folder)
    assert made.checked(stage.folder, "backbone.safetensors").read_bytes() == b"weights"
    (stage.folder / "backbone.safetensors").write_bytes(b"weightS")
    for name in ("backbone.safetensors", "unlisted"):
        with pytest.raises(MinerError, match=rf"{name} is missing or damaged\. Run `miner train --force`"):
            made.checked(stage.folder, name)


def test_docs_name_the_type_of_every_record() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    named = re.findall(r"^\| [^|]*\.json`? \| `([\w.]+)` \|$", page, re.MULTILINE)
    modules = [f"miner.artifacts.{name}" for name in named]
    types = {
        getattr(importlib.import_module(module.rpartition(".")[0]), module.rpartition(".")[2]) for module in modules
    }
    assert types == {*Artifact.__subclasses__(), *StageArtifact.__subclasses__()} - {StageArtifact}
