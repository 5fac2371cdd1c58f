"""The rules side by side: the numbers of `miner pairs`, samples, and what is computed once."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.engine.records import read_json
from miner.pairs.calibration import comparison
from miner.pairs.calibration.run import calibrate
from miner.pairs.options import CalibrateOptions, PairsOptions
from miner.pairs.run import pairs

OPTIONS = CalibrateOptions(images=8, device="cpu")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("compare"))
    embed(EmbedOptions(source="sample", limit=120, device="cpu"), workspace)
    return workspace


def test_each_rule_has_the_numbers_of_miner_pairs(embedded) -> None:
    made = calibrate(OPTIONS, embedded, force=True)
    compared = made.record["comparison"]
    assert compared["images"] == 120 and [row["rule"] for row in compared["rules"]][-1] == "shared"
    for row in compared["rules"]:
        rule = {name: row[name] for name in ("rule", "neighbors", "local", "shared") if name in row}
        if row["rule"] == "band":
            rule |= {"min": row["min"], "max": row["max"]}
        mined = pairs(PairsOptions(**rule, device="cpu"), embedded, force=True).record
        assert {name: mined[name] for name in ("pairs", "image_coverage", "composition")} == {
            name: row[name] for name in ("pairs", "image_coverage", "composition")
        }
        assert mined["labels"]["precision"] == row["label_precision"]
        assert any(f" {row['pairs']:,} " in line and line.startswith(f"  {row['rule']} ") for line in made.lines)
    assert len({row["pairs"] for row in compared["rules"]}) == 6
    with Image.open(embedded.root / "calibration_pairs.png") as sheet:
        assert sheet.height > 1000
    assert set(made.record["files"]) == {"calibration.png", "calibration_pairs.png"}


def test_a_sample_stands_for_many_images(embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "_MOST_IMAGES", 60)
    made = calibrate(OPTIONS, embedded, force=True)
    band = made.record["comparison"]["rules"][0]
    assert made.record["comparison"]["images"] == 60 and band["pairs"] == pytest.approx(60, abs=16)
    assert any("among a random 60 of 120 images" in line for line in made.lines)
    assert any("among all images, `shared` is stricter" in line for line in made.lines)


def test_another_budget_needs_no_force_and_no_encoder(embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    wider = OPTIONS.model_copy(update={"budget": 2.0})
    anew = calibrate(wider, embedded, force=True, compare=False).record
    first = calibrate(OPTIONS, embedded, force=True, compare=False).record
    monkeypatch.setattr("miner.embed.encoders.embedded.load_encoder", None)
    made = calibrate(wider, embedded, compare=False)
    assert made.record == anew and made.record["band"]["min"] < first["band"]["min"]
    assert made.lines[0] == "calibrate: replaces the calibration of another request (--budget was 1.0 and is now 2.0)"
    assert not calibrate(wider, embedded, compare=False).fresh


def test_a_calibration_of_miner_pairs_is_completed(embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    without = calibrate(OPTIONS, embedded, force=True, compare=False).record
    assert not (embedded.root / "calibration_pairs.png").exists() and without["comparison"] is None
    assert not calibrate(OPTIONS, embedded, compare=False).fresh
    monkeypatch.setattr("miner.embed.encoders.embedded.load_encoder", None)
    made = calibrate(OPTIONS, embedded).record
    changed = {name for name in made if made[name] != without[name]}
    assert changed == {"comparison", "files", "digest"}
    assert made["files"]["calibration.png"] == without["files"]["calibration.png"]


def test_without_labels_there_is_no_column_of_them(make_photos, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    embed(EmbedOptions(source=str(make_photos(count=12, classes=0)), device="cpu"), workspace)
    made = calibrate(OPTIONS.model_copy(update={"budget": 0.5}), workspace)
    assert made.record["comparison"]["rules"][0]["label_precision"] is None
    assert not any("precision" in line for line in made.lines)
    assert json.loads(json.dumps(made.record)) == read_json(workspace.calibration)
    assert np.isfinite(made.record["comparison"]["rules"][-1]["composition"]["effective_share"])
