"""Calibration on real photographs: the budget, the upper end of the band, the chart, and the command that it prints."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.commands.app import app
from miner.embed.encoders import load_encoder
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.engine import write_json
from miner.engine.records import read_json
from miner.errors import MinerError
from miner.pairs.calibration.run import calibrate, precision_curve
from miner.pairs.calibration.self_similarity import self_similarity
from miner.pairs.options import CalibrateOptions, PairsOptions
from miner.pairs.run import pairs
from miner.pairs.tables.histogram import BINS
from tests.embed.photographs import CLOTHING
from tests.pairs.calibration.photos import sample_photos


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A hundred images of `sample`, in a folder whose name needs quoting."""
    workspace = Workspace(tmp_path_factory.mktemp("calibrate") / "my pairs")
    embed(EmbedOptions(source="sample", limit=100, device="cpu"), workspace)
    return workspace


def calibrated(workspace: Workspace, compare: bool = False, **options) -> tuple[dict, list[str]]:
    asked = CalibrateOptions(**{"images": 16, "device": "cpu", **options})
    result = calibrate(asked, workspace, force=True, compare=compare)
    return result.record, result.lines


def cosines(workspace: Workspace) -> np.ndarray:
    """All pairs, by brute force in float64."""
    vectors = EmbeddingStore(workspace).vectors.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]


@pytest.mark.parametrize("budget", [0.5, 3.0])
def test_band_is_the_narrowest_that_holds_the_budget(embedded, budget: float) -> None:
    record, _ = calibrated(embedded, budget=budget)
    low, high = record["band"]["min"], record["band"]["max"]
    similarity = cosines(embedded)
    assert np.sum((similarity >= low) & (similarity < high)) >= budget * 100
    assert np.sum((similarity >= low + 2 / BINS) & (similarity < high)) < budget * 100
    mined = pairs(PairsOptions(auto=True, device="cpu"), embedded, force=True).record
    assert mined["pairs"] == pytest.approx(record["estimated_pairs"], abs=2)
    assert record["estimated_pairs_above"] == pytest.approx(np.sum(similarity > high), abs=2)


def test_half_of_the_images_are_closer_to_themselves(embedded) -> None:
    high = calibrated(embedded, images=40)[0]["band"]["max"]
    encoder = load_encoder("efficientnet_lite0", torch.device("cpu"))
    again = self_similarity(encoder, sample_photos(40), np.random.default_rng(7), precision=torch.bfloat16)
    assert 0.3 <= np.mean(again > high) <= 0.7
    assert np.mean(cosines(embedded) > high) < 0.01


def test_pairs_without_options_take_the_recommended_rule(embedded) -> None:
    write_json(
        embedded.calibration,
        {"request": {"embeddings": "of others"}, "band": {"min": 0, "max": 1}, "images": 2, "estimated_pairs": 1},
    )
    made = pairs(PairsOptions(device="cpu"), embedded, force=True)
    asked, classes = made.record["request"], made.record["composition"]["classes"]
    ceiling = read_json(embedded.calibration)["band"]["max"]
    assert (asked["rule"], asked["neighbors"], asked["shared"], asked["band"]["max"]) == ("shared", 10, 6, ceiling)
    assert made.lines[0].startswith("calibrate: proposed band") and f"{ceiling:g}" in made.lines[0]
    assert "at least 6 agree" in made.lines[2]
    assert (classes["number"], classes["without_pairs"]) == (10, 0)
    assert made.record["image_coverage"] > 0.85
    assert made.record["labels"]["precision"] > 5 * made.record["labels"]["chance"]
    before = embedded.calibration.stat().st_mtime_ns
    assert not pairs(PairsOptions(device="cpu"), embedded).fresh
    assert embedded.calibration.stat().st_mtime_ns == before


def test_pairs_without_options_reach_every_class_of_photographs(tmp_path) -> None:
    if not CLOTHING.is_dir():
        pytest.skip(f"no photographs in {CLOTHING}")
    workspace = Workspace(tmp_path / "clothes")
    embed(EmbedOptions(source=str(CLOTHING), limit=160, device="cpu"), workspace)
    calibrated(workspace)
    made = pairs(PairsOptions(device="cpu"), workspace).record
    assert made["request"]["rule"] == "shared" and made["composition"]["classes"]["without_pairs"] == 0
    assert made["image_coverage"] > 0.85 and made["labels"]["precision"] > 4 * made["labels"]["chance"]


def test_printed_command_works_as_it_is(embedded) -> None:
    pairs(PairsOptions(min=0.2, max=0.3, device="cpu"), embedded, force=True)
    for compare in (False, True):
        asked = CalibrateOptions(images=16, device="cpu", budget=2)
        said = calibrate(asked, embedded, force=True, compare=compare)
        command = said.next_command.partition("  (")[0]
        assert command.startswith("miner pairs " if compare else "miner pairs --auto ")
        assert command.endswith(" --device cpu --force")
        app(shlex.split(command)[1:], standalone_mode=False)
        request = read_json(embedded.pairs / "manifest.json")["request"]
        assert request["band"]["max"] == read_json(embedded.calibration)["band"]["max"]
        assert request.get("rule", "band") == ("shared" if compare else "band")
    again = calibrate(asked, embedded)
    assert not again.fresh and again.lines == said.lines and "--force" not in again.next_command


def test_budget_that_cannot_be_met_is_explained(embedded) -> None:
    with pytest.raises(MinerError, match=r"--budget 60 cannot be met. Use a lower --budget, or more images"):
        calibrated(embedded, budget=60)


def test_images_that_look_the_same_to_the_encoder_are_reported(make_photos, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "twins"
    folder.mkdir()
    for number, photo in enumerate(sorted(make_photos(count=2, classes=1).rglob("*.jpg"))):
        pixels = np.asarray(Image.open(photo), np.int64)
        for copy in range(8):
            noisy = np.clip(pixels + rng.integers(-1, 2, pixels.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / f"{number}-{copy}.png")
    workspace = Workspace(tmp_path / "w")
    embed(EmbedOptions(source=str(folder), device="cpu"), workspace)
    record, lines = calibrated(workspace, budget=0.5)
    assert record["estimated_pairs_above"] == 2 * 8 * 7 / 2
    assert "3.5 pairs per image are above the band" in lines[1] and lines[1].startswith("Warning")


def test_picture_and_record_with_and_without_labels(embedded, make_photos, tmp_path: Path) -> None:
    record, lines = calibrated(embedded)
    with Image.open(embedded.root / "calibration.png") as picture:
        labelled = picture.size
    assert record["labels"]["used_for_the_band"] is False and "reported, not used" in lines[1]
    workspace = Workspace(tmp_path / "w")
    embed(EmbedOptions(source=str(make_photos(count=12, classes=0)), device="cpu"), workspace)
    record, lines = calibrated(workspace, budget=0.5)
    with Image.open(workspace.root / "calibration.png") as picture:
        assert picture.size[1] < labelled[1]  # no panel of label precision
    assert record["labels"] is None and not any("precision" in line for line in lines)
    write_json(workspace.root / "copy.json", record)  # is JSON


def test_precision_curve_by_hand() -> None:
    counts, same = [0] * 10, [0] * 10
    counts[4:9], same[4:9] = [100, 60, 30, 10, 999], [10, 30, 30, 10, 999]
    histogram = {"low": -1.0, "high": 1.0, "counts": counts, "same_label": same}
    assert precision_curve(histogram, 0.6)[-3:] == [
        (pytest.approx(-0.2), 80 / 200),
        (pytest.approx(0.0), 70 / 100),
        (pytest.approx(0.2), 1.0),
    ]
    assert precision_curve({**histogram, "same_label": [0] * 10}, 0.6)[-1][1] == 0
    del histogram["same_label"]
    assert precision_curve(histogram, 0.6) == []
