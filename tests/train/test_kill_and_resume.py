"""Killed at any moment and started again, a run ends with the same bytes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from miner.artifacts.runs.manifest import GRAPH_FILES
from tests.train.mini_workspace import write_shards

COMMAND = [
    *(sys.executable, "-m", "miner", "train", "--epochs", "3", "--batch-size", "8", "--image-size", "32"),
    *("--dim", "16", "--checkpoint-steps", "7", "--device", "cpu", "--name", "run"),
]
MOCO = [*COMMAND, "--stem", "imagenet", "--knn-epochs", "1"]
GRAPHNNCLR = [
    *(*COMMAND, "--method", "graphnnclr", "--backbone", "vit_tiny", "--patch-size", "16", "--hidden-dim", "16"),
    *("--graph-window", "1", "--graph-edges", "3"),
]
STEPS = 30
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def lines(workspace: Path) -> list[bytes]:
    path = workspace / "runs/run/metrics.jsonl"
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def kill_when(command: list[str], workspace: Path, line_count: int) -> None:
    """Start the run and kill it as soon as it has written so many lines of metrics."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=ENVIRONMENT)
    while len(lines(workspace)) < line_count and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said.decode()


def run_whole_and_killed(folder: Path, command: list[str], *flags: str) -> tuple[Path, Path]:
    """The folders of an unbroken run, and of one that had the flags as well, was killed and started again."""
    for name in ("whole", "killed"):
        write_shards(folder / name, images=64, pairs=16)
    subprocess.run([*command, "-w", str(folder / "whole")], check=True, capture_output=True, env=ENVIRONMENT)

    # The line of step 20 is past the checkpoint of step 14, so it must be dropped and written again.
    killed = [*command, *flags, "-w", str(folder / "killed")]
    kill_when(killed, folder / "killed", 2)
    assert not (folder / "killed/runs/run/manifest.json").exists()
    again = subprocess.run(killed, check=True, capture_output=True, text=True, env=ENVIRONMENT)
    said = re.search(rf"continuing from step (\d+) of {STEPS}", again.stderr)
    assert said and 14 <= int(said[1]) < STEPS
    assert len(lines(folder / "killed")) == STEPS // 10
    return folder / "whole/runs/run", folder / "killed/runs/run"


def test_killed_streaming_run_ends_with_the_bytes_of_a_whole_one(tmp_path: Path) -> None:
    whole, killed = run_whole_and_killed(tmp_path, MOCO, "--data", "stream", "--workers", "3")
    for name in ("metrics.jsonl", "backbone.safetensors", "backbone-best.safetensors", "config.yaml", "manifest.json"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name


def test_killed_graphnnclr_ends_with_the_graphs_of_a_whole_one(tmp_path: Path) -> None:
    whole, killed = run_whole_and_killed(tmp_path, GRAPHNNCLR)
    for name in (*GRAPH_FILES, "metrics.jsonl", "backbone.safetensors", "manifest.json"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
