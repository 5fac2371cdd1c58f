"""Stages at the same time: they wait for each other only where they touch the same folder."""

import pytest

from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.evaluate.network_options import FinetuneOptions
from miner.evaluate.options import KnnOptions
from miner.export.options import ExportOptions
from miner.pairs.options import PairsOptions
from miner.publish.options import PublishOptions
from miner.run_stages import run_stage
from miner.stages import STAGES
from miner.train.settings.options import TrainOptions
from tests.export.folders import mine


def test_stages_run_beside_a_training_that_reads_other_folders(make_photos, tmp_path) -> None:
    workspace = mine(make_photos(count=8), tmp_path / "w")
    band = PairsOptions(min=0.2, max=0.99, device="cpu")

    def training() -> object:
        return workspace.locked(*STAGES["train"].folders(TrainOptions(), workspace))

    with training():  # on the folder of images
        with pytest.raises(MinerError, match=r"is working in .* and uses pairs"):
            run_stage("pairs", band, workspace, True)
        assert run_stage("export", ExportOptions(), workspace, False).fresh
    with training():  # on the shards
        with pytest.raises(MinerError, match=r"is working in .* and uses shards"):
            run_stage("export", ExportOptions(), workspace, True)
        assert run_stage("pairs", band, workspace, True).fresh


def test_an_evaluation_touches_its_run_and_images_alone(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    for name in ("old", "new"):
        workspace.run(name).mkdir(parents=True)
        (workspace.run(name) / "manifest.json").write_text("{}")
    images = ["embeddings", "pairs"]
    for name, options, folders in (
        ("eval knn", KnnOptions(run="old"), (["runs/old/eval"], ["runs/old", *images])),
        ("eval finetune", FinetuneOptions(), (["runs/new/eval"], ["runs/new", *images])),
        ("eval knn", KnnOptions(embeddings=True), (["eval", "test"], ["embeddings"])),
        ("pairs", PairsOptions(against="other"), (["against"], ["embeddings"])),
        ("publish", PublishOptions(), (["publish"], [*images, "shards"])),
    ):
        assert STAGES[name].folders(options, workspace) == folders
