"""What is finished of a block is kept, and where a block was cut changes no byte of it."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from miner.artifacts.workspace import Workspace
from miner.embed import parts
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.embed.worker import Worker
from miner.errors import MinerError
from tests.embed.folders import add_images, checksums, die_at_call
from tests.processes import kill_command


def options(source: Path, **change: object) -> EmbedOptions:
    return EmbedOptions(source=str(source), batch_size=2, workers=1, device="cpu", **change)


@pytest.fixture
def folder(make_photos) -> Path:
    """24 images in one block; some are unreadable, among them all of one batch."""
    folder = make_photos(count=20)
    for number in (0, 1, 2, 3, 9):
        (folder / "class1" / f"00broken{number}.jpg").write_bytes(b"x")
    return folder


@pytest.fixture
def whole(folder: Path, tmp_path: Path) -> dict[str, str]:
    embed(options(folder), Workspace(tmp_path / "whole"))
    return checksums(tmp_path / "whole" / "embeddings")


def part_names(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in workspace.embeddings.glob("parts/metadata_*"))


@pytest.mark.parametrize("longest_s", [0.0, 0.02, 30.0])
@pytest.mark.parametrize("calls", [(1,), (4, 2, 3), (9, 1, 1, 1)])
def test_parts_of_any_size_end_with_the_same_bytes(
    folder, whole, tmp_path, monkeypatch, capsys, longest_s, calls
) -> None:
    workspace = Workspace(tmp_path / "w")
    monkeypatch.setattr(parts, "LONGEST_S", longest_s)
    for number in calls:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Worker, "vectors", die_at_call(number))
            embed(options(folder), workspace)
    kept = int(capsys.readouterr().err.splitlines()[-1].split()[1])
    assert kept == parts.images_in_parts(workspace.embeddings, [0]) and (kept > 0) == (calls != (1,))
    result = embed(options(folder), workspace)
    assert checksums(workspace.embeddings) == whole
    assert result.measured["images"] == 25 - kept


def test_nothing_is_written_while_a_block_takes_little_time(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(parts.BlockParts, "save", lambda self: pytest.fail("saved"))
    embed(options(folder), Workspace(tmp_path / "w"))


def save_every_batch() -> None:
    parts.LONGEST_S = 0.0


def test_a_kill_loses_what_is_in_no_part(folder, whole, tmp_path) -> None:
    flags = ["--batch-size", "2", "--workers", "1", "--device", "cpu"]
    workspace = Workspace(tmp_path / "w")
    command = ["embed", str(folder), "-w", str(workspace.root), *flags]
    kill_command(command, lambda: bool(part_names(workspace)), save_every_batch)
    embed(options(folder), workspace)
    assert checksums(workspace.embeddings) == whole


def test_units_of_other_processes_go_on_from_parts(folder, whole, tmp_path, monkeypatch) -> None:
    workspace = Workspace(tmp_path / "w")
    interrupted(folder, workspace, monkeypatch)

    class OtherProcesses:
        def run(self, units):
            for unit in pickle.loads(pickle.dumps(units)):
                unit.execute()
                yield unit

    encoded = []
    real = Worker.vectors
    monkeypatch.setattr(Worker, "vectors", lambda worker, pixels: encoded.append(len(pixels)) or real(worker, pixels))
    monkeypatch.setattr("miner.embed.run.executor_for", lambda *arguments: OtherProcesses())
    embed(options(folder), workspace)
    assert checksums(workspace.embeddings) == whole and sum(encoded) < 12


def interrupted(folder: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(parts, "LONGEST_S", 0.0)
        patch.setattr(Worker, "vectors", die_at_call(8))
        embed(options(folder), workspace)
    assert len(part_names(workspace)) > 2


@pytest.mark.parametrize("damage", ["cut", "remove", "vectors"])
def test_a_damaged_part_is_encoded_again(folder, whole, tmp_path, monkeypatch, damage) -> None:
    workspace = Workspace(tmp_path / "w")
    interrupted(folder, workspace, monkeypatch)
    path = workspace.embeddings / "parts" / part_names(workspace)[1]
    if damage == "vectors":
        path = path.with_name(path.name.replace("metadata", "vectors")).with_suffix(".npy")
    path.write_bytes(path.read_bytes()[:50]) if damage != "remove" else path.unlink()
    embed(options(folder), workspace)
    assert checksums(workspace.embeddings) == whole


def test_an_image_in_a_part_that_changed_is_refused(folder, tmp_path, monkeypatch) -> None:
    workspace = Workspace(tmp_path / "w")
    interrupted(folder, workspace, monkeypatch)
    image = next(folder.glob("class0/*.jpg"))
    image.write_bytes(image.read_bytes()[:-2] + b"\0\0")
    with pytest.raises(MinerError, match=image.name):
        embed(options(folder), workspace)
    embed(options(folder), workspace, force=True)
    assert not list(workspace.embeddings.glob("parts*"))


def test_parts_of_another_growth_are_removed(folder, tmp_path, monkeypatch) -> None:
    workspace, at_once = Workspace(tmp_path / "w"), Workspace(tmp_path / "w2")
    embed(options(folder), workspace)
    add_images(folder, 6)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(parts, "LONGEST_S", 0.0)
        patch.setattr(Worker, "vectors", die_at_call(3))
        embed(options(folder), workspace)
    assert part_names(workspace)
    add_images(folder, 9, start=50)
    embed(options(folder), workspace)
    embed(options(folder), at_once)
    vectors = [np.load(path) for path in sorted(workspace.embeddings.glob("img_emb/*.npy"))]
    assert sum(map(len, vectors)) == len(np.load(at_once.embeddings / "img_emb" / "img_emb_00000.npy")) == 35
    assert not list(workspace.embeddings.glob("parts*"))
