"""The tables of the evidence are those of the records, and every study of the page has a file."""

import json
import re
import runpy
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs/evidence.md").read_text("utf-8")
RESULTS = ROOT / "tests/bench/results"


@pytest.fixture(scope="module")
def scripts() -> dict[str, dict[str, Any]]:
    """What the scripts of the benchmarks define, by name of the script; they import one another by plain name."""
    sys.path.insert(0, str(ROOT / "tests/bench"))
    try:
        return {name: runpy.run_path(str(ROOT / f"tests/bench/{name}.py")) for name in ("evidence", "shared")}
    finally:
        sys.path.pop(0)


def test_the_tables_of_the_page_are_the_records(scripts: dict[str, dict[str, Any]]) -> None:
    blocks = re.findall(r"<!-- (\w+) of (\w+)(?:: [^>]+)? -->\n\n(.*?)\n\n<!-- end -->", PAGE, re.DOTALL)
    assert {name for _, name, _ in blocks} == {path.stem.partition("-")[2] for path in RESULTS.glob("evidence-*.json")}
    assert scripts["evidence"]["filled"](PAGE) == PAGE, "run python tests/bench/evidence.py --page"
    for part, name, text in blocks:
        if part == "table":
            arms = json.loads((RESULTS / f"evidence-{name}.json").read_text())["arms"]
            assert [line.split(" | ")[0] for line in text.splitlines()[2:]] == [f"| {arm['arm']}" for arm in arms]


def test_tables_of_common_neighbours_are_the_record(scripts: dict[str, dict[str, Any]]) -> None:
    page = (ROOT / "docs/which-pairs.md").read_text("utf-8")
    for one in json.loads((RESULTS / "shared.json").read_text())["sets"]:
        assert "\n".join(scripts["shared"]["table"](one)) in page, one["data"]
        for images, least in scripts["shared"]["recommended"](one).items():
            covered = {row["shared"]: row["coverage"] for row in one["rows"] if row["images"] == images}
            assert covered[least] >= 0.7 > covered.get(least + 1, 0.0)


def test_a_study_of_the_page_has_a_file_and_a_section(scripts: dict[str, dict[str, Any]]) -> None:
    named = {Path(name).stem for name in re.findall(r"miner run (pipelines/studies/\w+\.yaml)", PAGE)}
    assert named == {"dose_response", "selection", "label_free", "stronger", "fashion", "clothes"}


def test_runs_of_another_machine_are_added_to_those_of_a_record(scripts: dict[str, dict[str, Any]]) -> None:
    numbers = count(40)

    def run(arm: str, seed: int) -> dict[str, Any]:
        """A run as `miner run` writes it."""
        pairs_arm = "equal-steps" if arm == "control" else "semantic"
        facts = {"steps": 9, "forward_passes": 99, "pairs": 7, "pair_label_precision": 0.5, "pair_images": 8}
        knn = [{"k": k, "temperature": 0.1, "trained": float(next(numbers)), "random": 10.0} for k in (200, 20)]
        classes = {"cat": float(next(numbers)), "dog": float(next(numbers))}
        seen = {"knn": knn, "linear": float(next(numbers)), "per_class": classes}
        return {"arm": arm, "seed": seed, "workspace": "w", "pairs_arm": pairs_arm, **facts, **seen}

    add, order = scripts["evidence"]["summarise_with"], ["control", "pairs"]
    runs = [run(arm, seed) for arm in order for seed in (0, 1, 2)]
    whole = add([], runs, order)
    assert whole[1]["knn"][0]["gain"]["seeds"] == [0, 1, 2]
    earlier = add([], runs[:2] + runs[3:4], order)  # control: seeds 0 and 1; pairs: seed 0
    assert add(earlier, runs[2:3] + runs[4:], order) == whole
    # A run that both have is the newer one.
    other = {**runs[3], "linear": 0.0}
    assert add(whole, [other], order)[1]["linear"]["accuracy"]["by_seed"][0] == 0.0


def test_difference_is_paired_by_the_seeds_of_all_arms(scripts: dict[str, dict[str, Any]]) -> None:
    def arm(name: str, seeds: list[int], by_seed: list[float]) -> dict[str, Any]:
        return {"arm": name, "seeds": seeds, "knn": [{"k": 200, "accuracy": {"by_seed": by_seed}}]}

    record = {"arms": [arm("a", [0, 1, 2], [50.0, 60.0, 99.0]), arm("b-1", [1, 0], [57.0, 49.0])]}
    rows = scripts["evidence"]["differences_table"](record, "a - b-1; a - b-1 - b-1 + b-1")
    # Differences of 1 and 3 points, and Student's t of one degree of freedom.
    assert rows[2:] == [f"| {text} | 2 | +2.0 ± 12.7 |" for text in ("a - b-1", "a - b-1 - b-1 + b-1")]
