"""What test labels may not choose, and the table against numbers worked out by hand."""

import numpy as np
import pytest
import torch

from miner.refine.comparison.scores import score
from miner.refine.comparison.table import (
    ARMS,
    arm_key,
    comma_separated,
    draw,
    in_words,
    markdown,
    summary,
    table_rows,
    verdict,
)
from tests.refine.modes.test_modes import clusters


def labelled(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    features = clusters(count, seed)
    return features, features[:, :4].argmax(axis=1)


def test_test_labels_choose_nothing() -> None:
    (train, labels), (test, truth) = labelled(120, 0), labelled(40, 1)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(160, 12)).astype(np.float32)
    whole = np.concatenate([train, test])
    candidates = {0.5: noise / np.linalg.norm(noise, axis=1, keepdims=True), 0.75: whole}
    right, wrong = (score(candidates, labels, known, 0, torch.device("cpu")) for known in (truth, (truth + 1) % 4))
    for name in ("linear", "knn"):
        assert right[name]["own"] == 0.75  # chosen over noise, whatever comes first
        assert right[name]["test"] > 90 and wrong[name]["test"] < 10
        assert {**right[name], "test": 0} == {**wrong[name], "test": 0}


def test_interval_is_students() -> None:
    assert summary([1.0, 2.0, 3.0]) == {"mean": 2.0, "half_width": pytest.approx(4.303 / np.sqrt(3), abs=1e-3)}
    assert summary([5.0]) == {"mean": 5.0, "half_width": None}
    assert summary([float(seed % 3) for seed in range(11)])["half_width"] == 0.558
    assert summary([float(seed % 3) for seed in range(20)])["half_width"] == 0.386


def made_up(network: list[float], smoothing: list[float]) -> dict:
    scores = {}
    for arm in ARMS:
        tests = network if arm.kind == "network" else smoothing
        scores[arm_key(arm)] = [
            {name: {"test": test, "validation": test - arm.hops} for name in ("linear", "knn")} for test in tests
        ]
    return scores


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ([82.0, 83.1, 84.0], "beats smoothing"),
        ([78.0, 79.1, 80.0], "loses to smoothing"),
        ([80.0, 81.5, 81.0], "neither beats nor loses to"),
    ],
)
def test_verdict_is_paired_and_plain(tmp_path, network: list[float], words: str) -> None:
    scores = made_up(network, [80.0, 81.0, 82.0])
    answers = verdict(scores)
    assert answers["knn"]["mean"] == pytest.approx(np.mean(network) - 81, abs=1e-3)
    assert all(words in line for line in in_words(answers))
    rows = table_rows(scores)
    assert markdown(rows).count("\n") == len(ARMS) + 2 == comma_separated(rows).count("\n") + 1
    assert "| raw features |  | 81.00 ± 2.48 |" in markdown(rows)
    for name in ("one", "two"):
        draw(tmp_path / name, rows)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
