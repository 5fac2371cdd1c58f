"""Images that changed since they were embedded: whoever reads them is told which."""

from pathlib import Path

import pytest
import torch

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import read_metadata
from miner.artifacts.embeddings.verified import VerifiedSource
from miner.artifacts.runs.inputs import find_inputs
from miner.artifacts.runs.training_data import open_images
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.errors import MinerError
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.calibration.run import calibrate
from miner.pairs.options import CalibrateOptions, PairsOptions
from miner.pairs.run import pairs
from miner.train.data.hold import hold_images


@pytest.fixture
def changed(make_photos, tmp_path: Path) -> tuple[Workspace, str]:
    """A workspace whose second image has got another last byte, and the path of that image."""
    folder, workspace = make_photos(count=20), Workspace(tmp_path / "w")
    embed(EmbedOptions(source=str(folder), device="cpu"), workspace)
    pairs(PairsOptions(min=0.1, max=0.999, device="cpu"), workspace)
    path = sorted(folder.rglob("*.jpg"))[1]
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    return workspace, str(path.relative_to(folder))


def test_reading_a_changed_image_is_an_error(changed) -> None:
    workspace, path = changed
    made = EmbeddingsManifest.read(workspace)
    source = VerifiedSource(made.source.open(), [read_metadata(workspace.embeddings, made.blocks)])
    first, second, *rest = source.entries
    assert source.read(first) and all(source.read(entry) for entry in rest)
    with pytest.raises(MinerError, match=f"The image {path} of .* has changed since it was embedded"):
        source.read(second)


@pytest.mark.parametrize("data", ["memory", "stream"])
def test_training_refuses_a_changed_image(changed, data: str) -> None:
    workspace, path = changed
    source, entries = open_images(find_inputs(workspace, with_pairs=True))
    with pytest.raises(MinerError, match=f"The image {path} of .* has changed since it was embedded"):
        images = hold_images(data, source, entries, 32, workers=1)
        images[torch.arange(len(entries))]


def test_export_refuses_a_changed_image(changed) -> None:
    workspace, path = changed
    with pytest.raises(MinerError, match=f"The image {path} of .* has changed since it was embedded"):
        export(ExportOptions(), workspace)


def test_calibration_refuses_a_changed_image(changed) -> None:
    workspace, path = changed
    with pytest.raises(MinerError, match=f"The image {path} of .* has changed since it was embedded"):
        calibrate(CalibrateOptions(budget=2, device="cpu"), workspace)


def test_training_refuses_a_changed_image_in_a_shard(changed, tmp_path: Path) -> None:
    workspace, path = changed
    image = Path(EmbeddingsManifest.read(workspace).source.spec) / path
    before, after = image.read_bytes()[:-1] + b"\xd9", image.read_bytes()
    image.write_bytes(before)
    export(ExportOptions(), workspace)
    shard = workspace.shards / "images-000000.tar"
    shard.write_bytes(shard.read_bytes().replace(before, after))
    source, entries = open_images(find_inputs(workspace, with_pairs=False))
    with pytest.raises(MinerError, match="has changed since it was embedded"):
        hold_images("memory", source, entries, 32, workers=1)
