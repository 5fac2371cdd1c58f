"""A small study on real images: killed and resumed, repeated, and with arms that fail."""

import json
import os
from collections.abc import Iterator
from contextlib import chdir
from functools import partial
from pathlib import Path

import pytest
import torch

from miner.commands.run import run_recipe
from miner.engine.records import Result
from miner.engine.yaml_values import parse_yaml
from miner.errors import MinerError
from miner.recipe import RunOptions, read_recipe
from miner.study.definition import Study
from miner.study.plan import plan_study
from miner.study.run import run_cell
from tests.processes import kill_command
from tests.train.mini_workspace import sample_entries

RESULTS = ("table.md", "table.csv", "study.json", "figure.png")
STUDY = """
folder: study
workspaces:
  lite0:
    - embed: {source: sample, limit: 32, device: cpu}
    - pairs: {min: 0.0, max: 1.0, most_similar: 32, device: cpu}
  empty: []
  broken:
    - calibrate: {}
train:
  {method: simclr, epochs: 1, batch_size: 16, stem: imagenet, image_size: 32, dim: 16, hidden_dim: 32, device: cpu}
eval knn: {test: sample, limit: 30, device: cpu}
arms:
  own-views: {workspace: lite0, train: {pairs_arm: none}}
  semantic: {workspace: lite0}
  no-images: {workspace: empty, optional: true}
  no-workspace: {workspace: broken, optional: true}
"""


def study(**choice: str) -> Result:
    return run_recipe(RunOptions(recipe=Path("small.yaml"), **choice), quiet=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "study" / name).read_bytes() for name in RESULTS}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the study has been run; it stays the current one."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "small.yaml").write_text(STUDY)
    with chdir(folder):
        study()
        yield folder


STUDIES = Path(__file__).parents[2] / "pipelines/studies"


def test_the_study_of_pairs_alone_runs_on_few_images(tmp_path: Path) -> None:
    arms = ["simclr-augmented", "simclr-semantic", "simclr-half"]
    source, entries = sample_entries(120)
    for entry in entries:
        target = tmp_path / "images" / str(entry.label) / f"{entry.key}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read(entry))
    folder = tmp_path / "images"
    changes = (
        *(
            f"train.source={folder}",
            "train.limit=null",
            "train.pairs-per-class=4",
            "train.batch-size=10",
            "train.epochs=1",
        ),
        *("train.dim=16", "train.hidden-dim=32", "train.device=cpu"),
        *("train.backbone=vit_tiny", "train.stem=auto", "train.patch-size=16"),
        *(f"eval knn.gallery={folder}", f"eval knn.test={folder}", "eval knn.limit=30", "eval knn.device=cpu"),
    )
    recipe = STUDIES / "semantic_pairs.yaml"
    run_recipe(RunOptions(recipe=recipe, arms=",".join(arms), set=changes, workspace=tmp_path), True)
    found = {arm["arm"]: arm for arm in json.loads((tmp_path / "study.json").read_text())["arms"]}
    assert [(found[arm]["steps"], found[arm]["pairs"]) for arm in arms] == [((120 + 40) // 10, 40)] * 3
    images, precisions = ([found[arm][fact] for arm in arms] for fact in ("pair_images", "pair_label_precision"))
    assert (images, precisions) == ([40, 80, 60], [None, 1.0, 1.0])
    gains = [found[arm]["knn"][0]["gain"] for arm in arms]
    assert gains[0] is None and {gain["control"] for gain in gains[1:]} == {"simclr-augmented"}
    record = json.loads((tmp_path / "curated/runs/simclr-semantic-s0/manifest.json").read_text())
    assert (record["uses_labels"], record["pairs_per_class"], record["items"]) == (True, 4, 40)


def test_the_results_say_what_the_runs_found(whole: Path) -> None:
    record = json.loads((whole / "study/study.json").read_text())
    assert [arm["arm"] for arm in record["arms"]] == ["own-views", "semantic"]
    for arm in record["arms"]:
        run = whole / "study/lite0/runs" / f"{arm['arm']}-s0"
        manifest, knn = (json.loads((run / name).read_text()) for name in ("manifest.json", "eval/knn.json"))
        assert (arm["steps"], arm["pairs"]) == (manifest["steps"], manifest["pairs"])
        assert [found["accuracy"]["mean"] for found in arm["knn"]] == [found["trained"] for found in knn["results"]]
        assert arm["per_class"]["classes"] == knn["per_class"] and len(knn["per_class"]) > 1
    own, semantic = record["arms"]
    assert (own["steps"], semantic["pairs"]) == (semantic["steps"], 32)
    gain = semantic["knn"][0]["gain"]
    assert gain["control"] == "own-views"
    assert gain["mean"] == pytest.approx(
        semantic["knn"][0]["accuracy"]["mean"] - own["knn"][0]["accuracy"]["mean"], abs=1e-3
    )
    table = (whole / "study/table.md").read_text()
    assert "One seed, no interval." in table and "efficientnet_lite0; labels that it has seen: ImageNet-1k" in table


def test_a_study_may_ask_for_a_linear_classifier(whole: Path) -> None:
    content = {**parse_yaml(STUDY), "eval linear": {"test": "sample", "limit": 30, "device": "cpu"}}
    study = read_recipe(Study, content, Path("small.yaml"))
    (cell,) = plan_study(study, RunOptions(recipe=Path("small.yaml"), arms="own-views")).runs
    run_cell(cell, None, False, whole / "cell.json")
    linear = json.loads((whole / "study/lite0/runs/own-views-s0/eval/linear.json").read_text())
    assert json.loads((whole / "cell.json").read_text())["linear"] == linear["results"]["trained"]["test"]


def test_a_second_call_trains_nothing_and_writes_the_same_bytes(whole: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = contents(whole)
    notes = whole / "study/results/notes-s1.json"
    notes.write_text("of the user")
    runs = {path: path.stat().st_mtime_ns for path in (whole / "study").rglob("runs/*/manifest.json")}
    study()
    assert contents(whole) == before and notes.read_text() == "of the user"
    assert len(runs) == 2 and {path: path.stat().st_mtime_ns for path in runs} == runs
    assert "arm 2 of 2, seed 0: semantic" in capfd.readouterr().err


def test_a_killed_study_goes_on_and_ends_with_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_bytes((whole / "small.yaml").read_bytes())
    runs = tmp_path / "study/lite0/runs"
    # Bits depend on the number of threads, which another test may have set in this process.
    threads = torch.get_num_threads()
    kill_command(
        ["run", "small.yaml"], (runs / "semantic-s0/request.json").exists, partial(os.chdir, tmp_path), threads
    )
    assert not (runs / "semantic-s0/manifest.json").exists() and not (tmp_path / "study/table.md").exists()
    finished = runs / "own-views-s0/manifest.json"
    written = finished.stat().st_mtime_ns
    with chdir(tmp_path):
        study()
    assert finished.stat().st_mtime_ns == written
    assert contents(tmp_path) == contents(whole)


def test_an_arm_that_fails_does_not_lose_the_others(whole: Path) -> None:
    before = contents(whole)
    with pytest.raises(MinerError, match="2 of 3 runs failed: no-images-s0, no-workspace-s0"):
        study(arms="no-images,no-workspace,semantic")
    table = (whole / "study/table.md").read_text()
    assert "| no-images | failed |" in table and "Failed: no-images, seed 0: There are no images" in table
    assert "The workspace broken could not be prepared" in table
    shown = next(line for line in before["table.md"].decode().splitlines() if line.startswith("| semantic"))
    assert (
        shown.split("|")[:8]
        == next(line for line in table.splitlines() if line.startswith("| semantic")).split("|")[:8]
    )
    study()
    assert contents(whole) == before
