"""Numbers of a study from cells that are written out by hand."""

import csv
import io

import numpy as np
import pytest
from scipy import stats

from miner.engine.records import Record
from miner.study.summary import summarise_cells
from miner.study.table import _best_controls, about_power, about_work, study_csv, study_markdown


def cell(arm: str, seed: int, accuracy: float, **change: object) -> Record:
    return {
        "arm": arm,
        "seed": seed,
        "run": f"{arm}-s{seed}",
        "workspace": "w",
        "pairs_arm": arm,
        "steps": 100,
        "pairs": 50,
        "pair_label_precision": 0.9,
        "pair_images": 40,
        "knn": [
            {"k": 200, "temperature": 0.1, "trained": accuracy, "random": 30.0},
            {"k": 20, "temperature": 0.07, "trained": 100 - accuracy, "random": 31.0},
        ],
        **change,
    }


CELLS = [
    *(
        cell("equal-steps", seed, value, pairs=0, pair_images=None, pair_label_precision=None)
        for seed, value in enumerate((40, 50))
    ),
    *(cell("anchor-oversample", seed, value) for seed, value in enumerate((44, 47))),
    *(cell("semantic", seed, value) for seed, value in enumerate((52, 53))),
]


def test_gain_is_over_the_best_control_seed_by_seed() -> None:
    arms = {arm["arm"]: arm for arm in summarise_cells(CELLS)}
    first, second = arms["semantic"]["knn"]
    # Means are 45 and 45.5, so anchor-oversample is the best control, though equal-steps has the best seed.
    assert first["gain"] == {
        "control": "anchor-oversample",
        "seeds": [0, 1],
        "mean": 7.0,
        "half_width": pytest.approx(stats.t.ppf(0.975, 1) * np.std([8, 6], ddof=1) / np.sqrt(2), abs=1e-4),
        "by_seed": [8.0, 6.0],
    }
    assert first["accuracy"]["mean"] == 52.5
    # Under the second protocol the order is turned round.
    assert (second["gain"]["control"], second["gain"]["by_seed"]) == ("equal-steps", [-12.0, -3.0])
    assert [arms[name]["knn"][0]["gain"] for name in ("equal-steps", "anchor-oversample")] == [None, None]


def test_linear_accuracy_and_classes_are_summarised_like_knn() -> None:
    classes = [{"cat": 10.0, "dog": 40.0}, {"cat": 20.0, "dog": 50.0}]
    cells = [{**one, "linear": 60.0 + number, "per_class": classes[number % 2]} for number, one in enumerate(CELLS)]
    arms = {arm["arm"]: arm for arm in summarise_cells(cells)}
    assert arms["semantic"]["linear"]["accuracy"]["by_seed"] == [64.0, 65.0]
    gain = arms["semantic"]["linear"]["gain"]
    assert (gain["control"], gain["by_seed"]) == ("anchor-oversample", [2.0, 2.0])
    found = arms["semantic"]["per_class"]
    assert (found["classes"], found["mean"]["by_seed"]) == ({"cat": 15.0, "dog": 45.0}, [25.0, 35.0])
    rows = [line.split(" | ") for line in study_markdown("title", [*arms.values()], []).splitlines()[2:]]
    assert {len(row) for row in rows} == {12} and rows[-1][-2].startswith("64.5")
    assert "linear" not in study_markdown("title", summarise_cells(CELLS), [])


def test_only_controls_of_as_many_steps_and_seeds_of_both_count() -> None:
    longer = [cell("random-added", seed, 60, steps=200) for seed in (0, 1)]
    (failed,) = [
        {name: CELLS[3][name] for name in ("arm", "seed", "run", "workspace")} | {"error": "the loss diverges"}
    ]
    arms = {arm["arm"]: arm for arm in summarise_cells([*CELLS[:3], failed, *CELLS[4:], *longer])}
    gain = arms["semantic"]["knn"][0]["gain"]
    assert (gain["control"], gain["seeds"], gain["by_seed"]) == ("equal-steps", [0, 1], [12.0, 3.0])
    assert arms["anchor-oversample"]["failed"] == [{"seed": 1, "error": "the loss diverges"}]
    alone = summarise_cells([*longer, cell("semantic", 0, 50)])
    assert alone[1]["knn"][0]["gain"] is None


def test_a_control_of_one_good_seed_is_not_the_best_of_two() -> None:
    lucky = cell("random-added", 1, 49)
    gain = {arm["arm"]: arm for arm in summarise_cells([*CELLS, lucky])}["semantic"]["knn"][0]["gain"]
    assert (gain["control"], gain["seeds"]) == ("anchor-oversample", [0, 1])


def test_a_control_with_more_work_in_a_step_counts_only_for_arms_with_as_much() -> None:
    cells = [
        cell("equal-steps", 0, 48, forward_passes=600),
        cell("third-view", 0, 50, forward_passes=900, pairs_arm="anchor-oversample"),
        cell("semantic", 0, 49, forward_passes=600),
        cell("robust", 0, 52, forward_passes=900, pairs_arm="semantic"),
        cell("old", 0, 51, pairs_arm="semantic"),  # an earlier version did not count
    ]
    gains = {arm["arm"]: arm["knn"][0]["gain"] for arm in summarise_cells(cells)}
    assert [(gains[name]["control"], gains[name]["mean"]) for name in ("semantic", "robust", "old")] == [
        ("equal-steps", 1.0),
        ("third-view", 2.0),
        ("third-view", 1.0),
    ]


def test_only_controls_of_the_same_method_count() -> None:
    named = {
        "byol-own": "none",
        "byol-pairs": "pairs-only",
        "moco-own": "matched-augmented",
        "moco-pairs": "pairs-only",
    }
    cells = [cell(arm, 0, value, pairs_arm=named[arm]) for arm, value in zip(named, (40, 50, 70, 65), strict=True)]
    gains = {
        arm["arm"]: arm["knn"][0]["gain"] for arm in summarise_cells(cells, {arm: arm.split("-")[0] for arm in named})
    }
    assert [gains[arm] and (gains[arm]["control"], gains[arm]["mean"]) for arm in named] == [
        *(None, ("byol-own", 10.0)),
        *(None, ("moco-own", -5.0)),
    ]


def test_tables_show_the_same_numbers() -> None:
    arms = summarise_cells(
        [*CELLS, {"arm": "oracle", "seed": 0, "run": "oracle-s0", "workspace": "w", "error": "no labels"}]
    )
    lines = study_markdown("title", arms, ["a note"]).splitlines()
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    by_arm = {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}
    semantic = by_arm["semantic"]
    assert (semantic["steps"], semantic["pairs"], semantic["pair precision"]) == ("100", "50", "90.0 %")
    assert semantic["kNN, k = 200, T = 0.1"] == "52.5 ± 6.4"
    assert semantic["gain over the best control, k = 200"] == "+7.0 ± 12.7 (anchor-oversample)"
    assert by_arm["equal-steps"]["pairs"] == by_arm["equal-steps"]["images in pairs"] == "-"
    assert by_arm["oracle"]["seeds"] == "failed"
    table = {row["arm"]: row for row in csv.DictReader(io.StringIO(study_csv(arms)))}
    assert float(table["semantic"]["knn_k200_T0.1_gain_mean"]) == 7.0
    assert table["semantic"]["knn_k200_T0.1_control"] == "anchor-oversample"
    assert (table["oracle"]["knn_k200_T0.1_accuracy_mean"], table["oracle"]["failed"]) == ("", "1")
    assert table["equal-steps"]["knn_k20_T0.07_gain_mean"] == ""


def test_work_is_told_where_arms_differ_in_it() -> None:
    alike = [cell("none", 0, 40), cell("semantic", 0, 50, forward_passes=8000)]
    assert about_work(summarise_cells(alike)) == []
    more = cell("reco", 0, 50, forward_passes=16_000)
    failed = {"arm": "fnc", "seed": 0, "workspace": "w", "error": "no space"}
    (said,) = about_work(summarise_cells([*alike, more, failed, cell("oracle", 0, 60, forward_passes=8000)]))
    assert said.endswith("counts as two): 8,000 by semantic, oracle; 16,000 by reco.")
    assert "16000" in study_csv(summarise_cells([more]))


def test_power_follows_from_the_gains_of_the_seeds() -> None:
    (said,) = about_power(summarise_cells(CELLS))  # gains of 8 and 6 points
    assert "standard deviation of 1.41 points (k = 200)" in said and "18 seeds would show" in said
    assert about_power(summarise_cells([each for each in CELLS if each["seed"] == 0])) == []


def test_one_seed_is_shown_without_an_interval() -> None:
    (arm,) = summarise_cells([cell("semantic", 3, 54.88)])
    assert arm["knn"][0]["accuracy"] == {"mean": 54.88, "half_width": None, "by_seed": [54.88]}
    assert "| 54.9 |" in study_markdown("title", [arm], [])


@pytest.mark.parametrize(("controls", "marked"), [("aab", ["a"]), ("ab", ["a"]), ("abc", []), ("", [])])
def test_figure_marks_a_control_of_half_of_the_arms(controls: str, marked: list[str]) -> None:
    knn = {name: {"accuracy": {"mean": 1.0}, "gain": None} for name in "abc"}
    arms = [{"arm": name, "knn": [found]} for name, found in knn.items()]
    arms += [{"arm": "x", "knn": [{"accuracy": {"mean": 2.0}, "gain": {"control": name}}]} for name in controls]
    assert [name for _, name in _best_controls(arms)] == marked
