"""A workspace with everything that stages write, made once and copied for each test."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.evaluate.options import KnnOptions
from miner.export.options import ExportOptions
from miner.pairs.options import CalibrateOptions, PairsOptions
from miner.report.options import ReportOptions
from miner.run_stages import run_stage
from miner.source import open_source
from miner.train.settings.options import TrainOptions

TRAINING = {"epochs": 1, "batch_size": 8, "image_size": 32, "stem": "imagenet", "dim": 8, "device": "cpu"}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    sample = open_source("sample")
    for number, entry in enumerate([entry for entry in sample.entries if entry.label in (0, 1)][:40]):
        path = root / "photos" / f"class{entry.label}" / f"{number:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.open(io.BytesIO(sample.read(entry))).convert("RGB").resize((40, 40)).save(path, quality=92)
    made = Workspace(root / "w")
    run_stage("embed", EmbedOptions(source=str(root / "photos"), block_size=16), made, False)
    run_stage("calibrate", CalibrateOptions(budget=0.5), made, False)
    run_stage("pairs", PairsOptions(min=0.5, max=0.999, neighbors=3), made, False)
    run_stage("export", ExportOptions(shard_count=60), made, False)
    run_stage("train", TrainOptions(**TRAINING), made, False)
    run_stage(
        "eval knn", KnnOptions(gallery=str(root / "photos"), test=str(root / "photos"), device="cpu"), made, False
    )
    run_stage("report", ReportOptions(), made, False)
    return made.root


@pytest.fixture
def workspace(finished: Path, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(finished, tmp_path / "w")))


@pytest.fixture
def export_of(finished: Path, tmp_path: Path) -> Callable[..., Workspace]:
    """A workspace with the same embeddings and pairs, exported in another way."""

    def export(**options: object) -> Workspace:
        for stage in ("embeddings", "pairs"):
            shutil.copytree(finished / stage, tmp_path / "other" / stage)
        made = Workspace(tmp_path / "other")
        run_stage("export", ExportOptions(**options), made, False)
        return made

    return export
