"""The commands of the tutorial, one after another on a few images of the sample."""

from contextlib import chdir
from pathlib import Path

from miner.artifacts.runs.manifest import RunManifest
from miner.artifacts.workspace import Workspace
from miner.commands.app import app
from tests.docs.blocks import ROOT, blocks_of, commands_of
from tests.docs.running import SMALL_RUN, judge_a_pair, write_photos

TUTORIAL = (ROOT / "docs/tutorial.md").read_text("utf-8")


def test_commands_lead_from_photographs_to_two_trained_encoders(tmp_path: Path, capsys) -> None:
    blocks = [block for block in blocks_of(TUTORIAL, "tutorial") if "in order" in (block.excuse or "")]
    commands = [words for block in blocks for words in commands_of(block.text)]
    assert len(commands) >= 10 and all(words[0] == "miner" for words in commands)
    write_photos(tmp_path / "photos", 16, ["jpg"])
    workspace = Workspace(tmp_path / "datasets_out/photos")
    with chdir(tmp_path):
        for _, *words in commands:
            if "--open" in words:  # opens a browser
                judge_a_pair(workspace)
                continue
            app([*words, *([*SMALL_RUN, "--epochs", "1"] if words[0] == "train" else [])], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "review: 1 of" in printed and "all whole" in printed
    with_pairs, control = (RunManifest.find(workspace.run(name)) for name in ("pairs", "control"))
    assert with_pairs is not None and control is not None
    assert with_pairs.steps == control.steps and with_pairs.pairs > 0 == control.pairs
    for text in ("Trained", "pairs", "control", "encoder efficientnet_lite0"):
        assert text in (workspace.report / "index.html").read_text("utf-8")
