"""scripts/measure_gpu.sh on a processor. All parts take a minute: MEASURE_ALL=1 runs them, else one part stands for the others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "measure_gpu.sh"
PARTS = ("tests", "join-50k", "join-1m", "embed", "train-32", "train-224", "moco")
WHOLE = "MEASURE_ALL" in os.environ


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """The records that the script has written, by part."""
    out = tmp_path_factory.mktemp("measured")
    command = [str(SCRIPT), str(out), "--device", "cpu", "--tiny", *([] if WHOLE else ["--only", "join-1m"])]
    subprocess.run(command, check=True, env={**os.environ, "PYTHON": sys.executable})
    return {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}


def test_every_part_leaves_its_own_record(records: dict[str, dict]) -> None:
    assert records.keys() == {*(PARTS if WHOLE else ["join-1m"])}
    for part, record in records.items():
        assert record["exit_code"] == 0 and record["in_time"], record["printed"]
        assert part == "tests" or record["record"]


def test_the_join_says_what_it_reaches_and_that_it_is_exact(records: dict[str, dict]) -> None:
    measured = records["join-1m"]["record"]
    (band,) = measured["bands"]
    assert band["of_them_that_differ"] == 0 and band["effective_tflops"] > 0 < measured["torch_brute_force"]["tflops"]


def test_a_part_that_hangs_is_ended_and_recorded(tmp_path: Path) -> None:
    hanging = [sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(60)"]
    part = SCRIPT.parents[1] / "tests/bench/part.py"
    subprocess.run([sys.executable, part, tmp_path, "hangs", "2", "--", *hanging], check=True)
    record = json.loads((tmp_path / "hangs.json").read_text())
    assert record["exit_code"] != 0 and not record["in_time"] and "begun" in record["printed"]
