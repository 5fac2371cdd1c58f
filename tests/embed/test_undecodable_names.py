"""Sources and workspaces whose names are no UTF-8, or hold any other character, through the whole pipeline."""

from pathlib import Path

import pytest

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.report.options import ReportOptions
from miner.report.run import report
from miner.verify.run import verify


@pytest.mark.parametrize("name", ["caf\udce9", "\udcff\udcfe", "a\nb ☃ [1]{x}::*"])
def test_every_stage_works(make_photos, tmp_path: Path, name: str) -> None:
    folder = make_photos(count=8).rename(tmp_path / name)
    (folder / "class0" / f"{name}.jpg").write_bytes((folder / "class0" / "000.jpg").read_bytes())
    workspace = Workspace(tmp_path / f"w {name}")
    embed(EmbedOptions(source=str(folder), device="cpu"), workspace)
    pairs(PairsOptions(min=-1, max=1), workspace)
    export(ExportOptions(), workspace)
    report(ReportOptions(), workspace)
    assert len(verify(str(workspace.root)).record["folders"]) == 4
    again = Workspace(tmp_path / "again")
    shards = embed(EmbedOptions(source=str(workspace.shards), device="cpu"), again).record
    assert shards["count"] == 9 and shards["source"]["classes"] == ["class0", "class1"]
    assert not embed(EmbedOptions(source=str(folder), device="cpu"), workspace).fresh
