"""A run on two workers of a real local Ray cluster."""

from pathlib import Path

import pytest

from miner.errors import MinerError
from miner.train.loop.metrics import read_metrics
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from tests.train.mini_workspace import write_shards
from tests.train.runs import SHARED_RUN

pytestmark = pytest.mark.usefixtures("cluster")


def test_two_workers_train_what_one_process_does(tmp_path: Path) -> None:
    one, two = (write_shards(tmp_path / name, images=64, pairs=16) for name in ("one", "two"))
    train(TrainOptions(**SHARED_RUN), one)
    result = train(TrainOptions(**SHARED_RUN, processes=2, engine_address="auto"), two)
    assert result.record["steps"] == 10
    (line,), (other,) = (read_metrics(workspace.run("simclr") / "metrics.jsonl") for workspace in (one, two))
    assert line == pytest.approx(other, rel=1e-4)


def test_what_a_worker_says_is_what_the_user_reads(tmp_path: Path) -> None:
    workspace = write_shards(tmp_path, images=64, pairs=16, labelled=False)
    with pytest.raises(MinerError, match="have no labels, and --knn-epochs needs them"):
        train(TrainOptions(**SHARED_RUN, knn_epochs=1, engine_address="auto"), workspace)
