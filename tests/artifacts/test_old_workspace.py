"""A workspace of an earlier version: 60 images of the built-in sample, with every stage but training."""

import json
import shutil
from pathlib import Path

import pytest

from miner.artifacts.decisions import read_decisions
from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.manifests import CalibrationRecord, PublishedManifest, RefinedManifest, ShardsManifest
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.runs.inputs import find_inputs
from miner.artifacts.runs.training_data import open_images, pair_rows
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.calibration.run import calibrate
from miner.pairs.options import CalibrateOptions, PairsOptions
from miner.pairs.run import pairs
from miner.publish.options import PublishOptions
from miner.publish.run import publish
from miner.report.options import ReportOptions
from miner.report.run import report
from miner.review.options import ReviewOptions
from miner.review.run import review
from miner.stages import STAGES
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from miner.verify.run import verify
from tests.train.mini_workspace import TINY_RUN

OLD = Path(__file__).parents[1] / "data" / "old_workspace"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(OLD, tmp_path / "w")))


def test_old_files_are_whole(workspace: Workspace) -> None:
    counts = verify(str(workspace.root)).record["checked"]
    found = {Path(name).name: count for name, count in counts.items() if "refined" not in name}
    assert found["embeddings"] == {"images": 60} and found["pairs"]["pairs"] == 60


def test_old_manifests_are_read_and_not_written(workspace: Workspace) -> None:
    before = {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()}
    embeddings = EmbeddingsManifest.read(workspace)
    assert (embeddings.count, embeddings.encoder.name, len(EmbeddingStore(workspace))) == (60, "efficientnet_lite0", 60)
    assert CalibrationRecord.read(workspace, of=embeddings).band == PairsManifest.read(workspace).request.band
    assert ShardsManifest.read(workspace, of=embeddings).was_made_of(PairsManifest.read(workspace, of=embeddings))
    assert RefinedManifest.read(workspace, of=embeddings).dim == EmbeddingStore(workspace.refined).stored.dim == 16
    assert PublishedManifest.read(workspace, of=embeddings).configs["pairs"].rows == 60
    assert {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["embed", "calibrate", "pairs", "export", "refine"])
def test_finished_stages_have_nothing_to_do(name: str, workspace: Workspace) -> None:
    logged = workspace.logged()[name]
    defaults = {option: [field.default] for option, field in STAGES[name].options.model_fields.items()}
    if name == "pairs":
        defaults["min"], defaults["max"] = [None, 0.97], [None, 0.99]  # a band was always given
    asked = {option: value for option, value in logged["options"].items() if value not in defaults[option]}
    result = STAGES[name].run(STAGES[name].options.parse(asked), workspace, force=False)
    assert not result.fresh and result.record == logged["record"]


def test_old_pairs_are_reported(workspace: Workspace) -> None:
    assert report(ReportOptions(), workspace).record["pairs_shown"] == 60
    page = (workspace.report / "index.html").read_text()
    assert "60 semantic pairs among 60 images" in page and "0.733 to 0.953" in page


def test_old_decisions_are_summed_up(workspace: Workspace) -> None:
    decisions = read_decisions(workspace.review / "decisions.jsonl")
    record = review(ReviewOptions(summary=True), workspace).record
    assert record["labelled"] == len(decisions) == 12
    assert json.loads((workspace.review / "review.json").read_text())["labelled"] == 12


@pytest.mark.parametrize("origin", ["shards", "source"])
def test_a_run_trains_on_old_images_and_pairs(origin: str, workspace: Workspace) -> None:
    if origin == "source":
        shutil.rmtree(workspace.shards)
    inputs = find_inputs(workspace, with_pairs=True)
    keys = [entry.key for entry in open_images(inputs)[1]]
    assert (inputs.origin, len(keys), pair_rows(inputs, keys).shape) == (origin, 60, (60, 2))
    record = train(TrainOptions(**{**TINY_RUN, "epochs": 1, "batch_size": 32}), workspace).record
    assert (record["images"], record["pairs"]) == (60, 60)


def test_pairs_of_refined_embeddings_go_on_to_the_page(workspace: Workspace) -> None:
    refined = workspace.refined
    mined = pairs(PairsOptions.parse({"min": 0.9, "max": 0.99}), refined).record
    assert export(ExportOptions(), refined).record["images"] == mined["images"] == 60
    assert report(ReportOptions(), refined).fresh and verify(str(refined.root)).record["folders"]
    with pytest.raises(MinerError, match=r"refined embeddings.*--min and --max"):
        calibrate(CalibrateOptions(), refined)
    with pytest.raises(MinerError, match=r"was refined\. Such pairs cannot be published"):
        publish(PublishOptions.parse({"license": "mit", "image_license": "mit"}), refined)
