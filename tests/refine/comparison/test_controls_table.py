"""The table of all arms against numbers worked out by hand."""

import numpy as np
import pytest

from miner.artifacts.manifests import verdict_sentences
from miner.refine.comparison.controls import GRAPH_ARMS
from miner.refine.comparison.controls_table import (
    arm_key,
    control_rows,
    controls_csv,
    controls_markdown,
    plot_controls,
    verdict,
)


def made_up(network: list[float], smoothing: list[float]) -> dict:
    scores = {}
    for arm in GRAPH_ARMS:
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
    gains = verdict(scores)
    assert gains["knn"]["mean"] == pytest.approx(np.mean(network) - 81, abs=1e-3)
    assert all(words in line for line in verdict_sentences(gains))
    rows = control_rows(scores)
    assert controls_markdown(rows).count("\n") == len(GRAPH_ARMS) + 2 == controls_csv(rows).count("\n") + 1
    assert "| raw features |  | 81.00 ± 2.48 |" in controls_markdown(rows)
    for name in ("one", "two"):
        plot_controls(tmp_path / name, rows)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
