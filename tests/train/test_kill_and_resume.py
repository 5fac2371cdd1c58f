"""Killed at any moment and started again, a run ends with the same bytes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from miner.artifacts.runs.manifest import GRAPH_FILES
from miner.options import flag_name
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from tests.processes import kill_command
from tests.train.mini_workspace import write_shards

RUN = {"epochs": 3, "batch_size": 8, "image_size": 32, "dim": 16, "checkpoint_steps": 7, "device": "cpu", "name": "run"}
MOCO = {**RUN, "stem": "imagenet", "knn_epochs": 1}
GRAPHNNCLR = {
    **{**RUN, "method": "graphnnclr", "backbone": "vit_tiny", "patch_size": 16, "hidden_dim": 16},
    **{"graph_window": 1, "graph_edges": 3},
}
STEPS = 30


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums do not depend on the machine, and are those of the process that is killed."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def lines(workspace: Path) -> list[bytes]:
    path = workspace / "runs/run/metrics.jsonl"
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def kill_when(options: dict[str, Any], workspace: Path, line_count: int) -> None:
    """Start the run and kill it as soon as it has written so many lines of metrics."""
    flags = [word for name, value in options.items() for word in (flag_name(name), str(value))]
    kill_command(["train", *flags, "-w", str(workspace)], lambda: len(lines(workspace)) >= line_count)


def run_whole_and_killed(
    folder: Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any], **changes: Any
) -> tuple[Path, Path]:
    """The folders of an unbroken run, and of one that had the changes as well, was killed and started again."""
    whole, killed = (write_shards(folder / name, images=64, pairs=16) for name in ("whole", "killed"))
    train(TrainOptions.parse(options), whole)

    # The line of step 20 is past the checkpoint of step 14, so it must be dropped and written again.
    kill_when({**options, **changes}, killed.root, 2)
    assert not (folder / "killed/runs/run/manifest.json").exists()
    capsys.readouterr()
    train(TrainOptions.parse({**options, **changes}), killed)
    said = re.search(rf"continuing from step (\d+) of {STEPS}", capsys.readouterr().err)
    assert said and 14 <= int(said[1]) < STEPS
    assert len(lines(folder / "killed")) == STEPS // 10
    return folder / "whole/runs/run", folder / "killed/runs/run"


def test_killed_streaming_run_ends_with_the_bytes_of_a_whole_one(tmp_path, capsys) -> None:
    whole, killed = run_whole_and_killed(tmp_path, capsys, MOCO, data="stream", workers=3)
    for name in ("metrics.jsonl", "backbone.safetensors", "backbone-best.safetensors", "config.yaml", "manifest.json"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name


def test_killed_graphnnclr_ends_with_the_graphs_of_a_whole_one(tmp_path, capsys) -> None:
    whole, killed = run_whole_and_killed(tmp_path, capsys, GRAPHNNCLR, data="stream")
    for name in (*GRAPH_FILES, "metrics.jsonl", "backbone.safetensors", "manifest.json"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
