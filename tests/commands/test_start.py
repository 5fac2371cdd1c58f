"""`miner start`, `miner status` and `miner clean` on one folder of photographs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from miner.artifacts.workspace import Workspace
from miner.commands import ending
from miner.commands.app import app
from miner.commands.start import named_after
from miner.errors import MinerError, UsageError

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in a folder of its own; returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> str:
        app([*words], standalone_mode=False)
        return capsys.readouterr().out

    return command


def test_start_reaches_a_report_and_the_parts_stay_told(run: Run, make_photos, monkeypatch) -> None:
    photos, opened = make_photos(count=12, classes=0), []
    monkeypatch.setattr(ending.webbrowser, "open", opened.append)
    workspace = Workspace(Path("datasets_out/photos"))
    said = run("start", str(photos), "--device", "cpu", "--open")
    assert opened == [(workspace.report / "index.html").absolute().as_uri()] and opened[0] in said
    assert [line[:3] for line in said.splitlines() if line[1:3] == "/4"] == ["1/4", "2/4", "3/4", "4/4"]
    assert "how many pairs are right is not known" in said
    assert "start: next, miner review --open -w datasets_out/photos" in said

    monkeypatch.setenv("MINER_WORKSPACE", "datasets_out/photos")
    again = run("start", str(photos), "--device", "cpu")
    assert again.count("(was finished before)") == 4 and "start: nothing to do" in again
    assert json.loads(run("start", str(photos), "--device", "cpu", "--json"))["verdict"] in again
    assert "export  " not in run("export") and "other pairs" not in run("verify", str(workspace.root))

    said = run("pairs", "--min", "0", "--max", "0.99", "--force", "--device", "cpu")
    assert "pairs: next, miner report --open" in said
    told = json.loads(run("status", "--json"))
    assert told["next"].startswith("miner report --open")
    states = {part["name"]: part["state"] for part in told["parts"]}
    assert states == {
        **{"embeddings": "fresh", "calibration.json": "fresh", "pairs": "fresh"},
        **{"shards": "stale", "report": "stale"},
    }
    assert "shards is whole, but stale: holds other pairs than pairs/" in run("verify", str(workspace.root))
    run("report")
    assert "stale: holds other pairs than pairs/" in (workspace.report / "index.html").read_text()

    (workspace.shards / "mine.txt").write_text("of a person")
    assert "would free" in run("clean") and "shards" in run("status")
    assert (workspace.shards / "manifest.json").exists()
    assert "shards/mine.txt, which is not of miner" in run("clean", "--yes")
    assert [path.name for path in workspace.shards.iterdir()] == ["mine.txt"] and workspace.pairs.exists()
    next(photos.glob("*.jpg")).unlink()
    assert "embeddings: the source has other images now (11)" in run("status")
    assert "keeps embeddings" in run("clean", "--yes") or workspace.embeddings.exists()
    assert "removes it" in run("clean", "calibration.json") and workspace.calibration.exists()
    run("clean", "calibration.json", "--yes")
    assert not list(workspace.root.glob("calibration*")) and workspace.embeddings.exists()
    with pytest.raises(UsageError, match="dreams is no part of"):
        run("clean", "dreams")


def test_workspace_is_named_after_the_source(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my photos (2)").mkdir()
    names = {"my photos (2)/": "my-photos-2", ".": tmp_path.name.replace(".", "-"), "cifar10": "cifar10"}
    names |= {"shards/data-{000..009}.tar": "data", "hf://datasets/lab/birds": "birds", "*.parquet": tmp_path.name}
    assert {name: named_after(name).name for name in names} == names


def test_clean_keeps_an_interrupted_run_unless_named(run: Run, tmp_path: Path) -> None:
    run_folder = tmp_path / "datasets_out/default/runs/moco"
    (run_folder / "checkpoints").mkdir(parents=True)
    (run_folder / "request.json").write_text("{}")
    (run_folder / "checkpoints/last.pt").write_bytes(b"weights")
    assert "keeps runs/moco (unfinished" in run("clean", "--yes") and run_folder.exists()
    with Workspace(Path("datasets_out/default")).locked(["runs/moco"]), pytest.raises(MinerError, match="is working"):
        run("clean", "runs/moco", "--yes")
    assert "freed" in run("clean", "runs/moco/", "--yes") and not run_folder.exists()
    assert "nothing is here yet" in run("status")
