"""Real images for every test: photographs of clothes from the `sample` source."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from miner.source import open_source
from tests.shared import share_encoder

FolderMaker = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on Ray come first: they wait much, and share a cluster."""
    items.sort(key=lambda item: not _on_cluster(item))


def pytest_collection_finish() -> None:
    share_encoder()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if "ray" in sys.modules and _on_cluster(item) and not _on_cluster(nextitem):
        sys.modules["ray"].shutdown()


def _on_cluster(item: pytest.Item | None) -> bool:
    return "cluster" in getattr(item, "fixturenames", ())


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local Ray cluster of two worker processes, which ends after the last test that uses it."""
    ray = pytest.importorskip("ray")
    if not ray.is_initialized():
        monkeypatch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)


@pytest.fixture
def copied_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of units are copies of one that has imported the libraries, instead of new interpreters."""
    from tests.processes import COPIES

    monkeypatch.setattr("miner.engine.units.get_context", lambda _: COPIES)


@pytest.fixture
def make_photos(tmp_path: Path) -> FolderMaker:
    """Writes a folder of JPEGs, with class folders unless `classes` is 0."""

    def make(name: str = "photos", count: int = 12, classes: int = 2, side: int = 40) -> Path:
        sample = open_source("sample")
        folder = tmp_path / name
        wanted = [entry for entry in sample.entries if classes == 0 or (entry.label or 0) < classes][:count]
        for number, entry in enumerate(wanted):
            target = folder / (f"class{entry.label}" if classes else "") / f"{number:03d}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            image = Image.open(io.BytesIO(sample.read(entry))).convert("RGB").resize((side, side))
            image.save(target, quality=92)
        return folder

    return make
