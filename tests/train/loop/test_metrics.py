import json
import math
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from miner.train.loop.metrics import MetricsLog, finite, read_metrics


def write(folder: Path, done: int, steps: range) -> None:
    with MetricsLog(folder, done) as log:
        for step in steps:
            log.add({"step": step, "loss": 1.0 / step}, measured={"items_per_s": 5.0})
        log.sync()


def test_lines_after_the_checkpoint_are_written_again(tmp_path: Path) -> None:
    write(tmp_path / "whole", 0, range(1, 9))
    write(tmp_path / "resumed", 0, range(1, 6))
    write(tmp_path / "resumed", 3, range(4, 9))
    assert (tmp_path / "resumed/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()


def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path: Path) -> None:
    write(tmp_path, 0, range(1, 4))
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    assert [line["step"] for line in read_metrics(path)] == [1, 2]
    write(tmp_path, 2, range(3, 4))
    assert [line["step"] for line in read_metrics(path)] == [1, 2, 3]


def test_lines_are_on_disk_at_once_and_hold_no_speed(tmp_path: Path) -> None:
    with MetricsLog(tmp_path, 0) as log:
        log.add({"step": 10, "loss": 0.5}, measured={"items_per_s": 123.0})
        assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 10, "loss": 0.5}]


def test_tensorboard_shows_the_numbers_and_the_speed(tmp_path: Path) -> None:
    write(tmp_path, 0, range(1, 4))
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, round(event.value, 6)) for event in events.Scalars("loss")] == [
        (1, 1.0),
        (2, 0.5),
        (3, round(1 / 3, 6)),
    ]
    assert [event.value for event in events.Scalars("items_per_s")] == [5.0] * 3


def test_numbers_are_json(tmp_path: Path) -> None:
    assert finite(math.nan) is None and finite(-math.inf) is None
    assert json.dumps(finite(1 / 3)) == "0.3333333"
