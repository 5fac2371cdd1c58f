from functools import partial
from pathlib import Path

import pytest

from miner.engine import LocalExecutor, Unit, finished_items, run


def write_square(number: int, path: Path) -> None:
    path.write_text(str(number * number))


def fail(path: Path) -> None:
    path.write_text("half")
    raise RuntimeError("stop here")


def squares(folder: Path, count: int) -> list[Unit]:
    return [Unit(f"{n}", (folder / f"{n}.txt",), partial(write_square, n), items=2) for n in range(count)]


@pytest.mark.parametrize("workers", [0, 2])
def test_same_files_in_this_process_and_in_a_pool(tmp_path: Path, workers: int) -> None:
    run(squares(tmp_path, 5), executor=LocalExecutor(workers))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {f"{n}.txt": str(n * n) for n in range(5)}


def test_done_units_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text("done before")
    units = squares(tmp_path, 3)
    assert finished_items(units) == 2
    run(units)
    assert (tmp_path / "1.txt").read_text() == "done before"
    assert (tmp_path / "2.txt").read_text() == "4"


def test_failure_keeps_earlier_units_and_a_rerun_completes(tmp_path: Path) -> None:
    good = squares(tmp_path, 3)
    bad = Unit("bad", (tmp_path / "bad.txt",), fail)
    with pytest.raises(RuntimeError, match="stop here"):
        run([good[0], bad, good[1], good[2]])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.txt"]
    run(good)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.txt", "1.txt", "2.txt"]


def test_last_output_marks_a_unit_as_done(tmp_path: Path) -> None:
    order: list[str] = []

    def work(first: Path, last: Path) -> None:
        first.write_text("first")
        last.write_text("last")
        order.extend([first.name, last.name])

    unit = Unit("two", (tmp_path / "data", tmp_path / "marker"), work)
    (tmp_path / "data").write_text("of a killed run")
    assert not unit.done
    run([unit])
    assert unit.done
    assert order == [".data.partial", ".marker.partial"]
    assert (tmp_path / "data").read_text() == "first"


def test_ids_are_unique(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unique"):
        run(squares(tmp_path, 1) * 2)
