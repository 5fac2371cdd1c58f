"""Killed at any moment and started again, a run ends with the same bytes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.train.mini_workspace import write_shards

COMMAND = [
    *(sys.executable, "-m", "miner", "train", "--epochs", "3", "--batch-size", "8", "--image-size", "32"),
    *("--stem", "imagenet", "--dim", "16", "--checkpoint-steps", "7", "--device", "cpu"),
    *("--knn-epochs", "1"),
]
STEPS = 30
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def lines(workspace: Path) -> list[bytes]:
    path = workspace / "runs/moco/metrics.jsonl"
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def kill_when(command: list[str], workspace: Path, line_count: int) -> None:
    """Start the run and kill it as soon as it has written so many lines of metrics."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=ENVIRONMENT)
    while len(lines(workspace)) < line_count and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said.decode()


def test_a_killed_run_that_streams_ends_with_the_bytes_of_an_unbroken_one_in_memory(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        write_shards(tmp_path / name, images=64, pairs=16)
    subprocess.run([*COMMAND, "-w", str(tmp_path / "whole")], check=True, capture_output=True, env=ENVIRONMENT)

    # The line of step 20 is past the checkpoint of step 14, so it must be dropped and written again.
    streaming = [*COMMAND, "--data", "stream", "--workers", "3", "-w", str(tmp_path / "killed")]
    kill_when(streaming, tmp_path / "killed", 2)
    assert not (tmp_path / "killed/runs/moco/manifest.json").exists()
    again = subprocess.run(streaming, check=True, capture_output=True, text=True, env=ENVIRONMENT)
    said = re.search(rf"continuing from step (\d+) of {STEPS}", again.stderr)
    assert said and 14 <= int(said[1]) < STEPS

    for name in ("metrics.jsonl", "backbone.safetensors", "backbone-best.safetensors", "config.yaml", "manifest.json"):
        whole, killed = (tmp_path / run / "runs/moco" / name for run in ("whole", "killed"))
        assert whole.read_bytes() == killed.read_bytes(), name
    assert len(lines(tmp_path / "killed")) == STEPS // 10
