"""`miner train` on two processes, by torchrun and by itself."""

import importlib
import os
import signal
import subprocess
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from weakref import ref

import pytest
from torch import distributed

from miner.errors import MinerError
from miner.learning.parallel.collectives import rank
from miner.learning.parallel.processes import joined, start_processes
from miner.options import flag_name
from miner.train.loop.metrics import read_metrics
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from tests.train.mini_workspace import write_shards
from tests.train.processes import TORCHRUN

RUN = {
    **{"method": "simclr", "epochs": 1, "batch_size": 8, "image_size": 32, "backbone": "vit_tiny", "patch_size": 8},
    **{"hidden_dim": 16, "dim": 16, "device": "cpu", "precision": "fp32", "lr": 0.1},
}


def test_torchrun_and_processes_train_what_one_process_does(tmp_path: Path) -> None:
    one, two, launched = (write_shards(tmp_path / name, images=64, pairs=16) for name in ("one", "two", "launched"))
    train(TrainOptions(**RUN), one)
    train(TrainOptions(**RUN, processes=2), two)
    flags = [word for name, value in RUN.items() for word in (flag_name(name), str(value))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = subprocess.run(
        [*TORCHRUN, "train", *flags, "-w", str(launched.root)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert said.stdout.count("over the last epoch") == 1 and said.stderr.count("steps per epoch") == 1

    runs = [workspace.run("simclr") for workspace in (one, two, launched)]
    for name in ("metrics.jsonl", "backbone.safetensors", "config.yaml", "manifest.json"):
        assert (runs[1] / name).read_bytes() == (runs[2] / name).read_bytes(), name
    assert (runs[0] / "config.yaml").read_bytes() == (runs[1] / "config.yaml").read_bytes()
    (line,), (other,) = (read_metrics(run / "metrics.jsonl") for run in runs[:2])
    assert line == pytest.approx(other, rel=1e-4)
    assert all(len(list(run.glob("events*"))) == 1 for run in runs)


def share_work(trouble: str) -> None:
    if rank() == 1 and trouble == "error":
        raise MinerError("the second process cannot read its images")
    if rank() == 1 and trouble == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    distributed.barrier()


def group_left_behind(folder: Path) -> bool:
    with joined(f"file://{folder}/meeting", 0, 1):
        group = ref(distributed.group.WORLD)
        importlib.import_module("torch._dynamo")  # as optimizers do
        distributed.barrier()
    return group() is not None


def test_a_group_ends_with_the_run(tmp_path) -> None:
    """Its threads would race with the end of the interpreter, which now and then aborts the process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert not pool.submit(group_left_behind, tmp_path).result()


def test_the_first_error_is_the_one_that_is_told() -> None:
    with pytest.raises(MinerError, match="the second process cannot read its images"):
        start_processes(2, share_work, "error")
    with pytest.raises(MinerError, match="A process of the run died"):
        start_processes(2, share_work, "killed")
