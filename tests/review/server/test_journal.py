import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from miner.artifacts.decisions import read_decisions
from miner.errors import MinerError
from miner.review.server.journal import Journal
from tests.review.decisions import decision


def test_appended_decisions_are_read_back_and_continued(tmp_path: Path) -> None:
    path = tmp_path / "review" / "decisions.jsonl"
    with Journal(path) as journal:
        assert journal.decisions == []
        journal.append(decision(1))
        journal.append(decision(2, "Bob"))
    with Journal(path) as journal:
        assert journal.decisions == [decision(1), decision(2, "Bob")] == read_decisions(path)


def test_a_line_is_on_the_disk_when_append_returns(tmp_path: Path, monkeypatch) -> None:
    path, synced, fsync = tmp_path / "decisions.jsonl", [], os.fsync

    def watched(file: int) -> None:
        fsync(file)
        synced.append(path.read_text())

    with Journal(path) as journal:
        monkeypatch.setattr(os, "fsync", watched)
        for number in range(3):
            journal.append(decision(number))
            assert len(synced) == number + 1 and synced[-1].endswith(decision(number).line())


@pytest.mark.parametrize("kept_bytes", [1, 20, -2])
def test_a_half_written_line_is_cut_before_the_next_is_appended(tmp_path: Path, capsys, kept_bytes: int) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text(decision(1).line() + decision(2).line()[:kept_bytes])
    with Journal(path) as journal:
        assert journal.decisions == [decision(1)]
        journal.append(decision(3))
    assert read_decisions(path) == [decision(1), decision(3)]
    assert "half-written" in capsys.readouterr().err


def test_a_whole_line_without_its_newline_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text(decision(1).line().rstrip("\n"))
    with Journal(path) as journal:
        journal.append(decision(2))
    assert read_decisions(path) == [decision(1), decision(2)]


def test_damage_in_the_middle_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text(decision(1).line() + '{"key_a": "torn\n' + decision(2).line())
    before = path.read_bytes()
    with pytest.raises(MinerError, match="line 2"):
        Journal(path)
    assert path.read_bytes() == before


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    with Journal(path) as journal:
        journal.append(decision(1))
        with pytest.raises(MinerError, match="Another `miner review`"):
            Journal(path)
        assert read_decisions(path) == [decision(1)]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MinerError, match=r"decisions\.jsonl cannot be written"):
        Journal(tmp_path / "file" / "decisions.jsonl")


_FILL = """
import resource, signal, sys
from pathlib import Path
from miner.errors import MinerError
from miner.review.server.journal import Journal
from tests.review.decisions import decision
path = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Journal(path) as journal:
    journal.append(decision(1))
    room = path.stat().st_size + 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        journal.append(decision(2))
    except MinerError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.append(decision(3))
"""


def test_a_line_that_finds_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    path = tmp_path / "decisions.jsonl"
    answer = subprocess.run([sys.executable, "-c", _FILL, str(path)], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "`ulimit -f`" in answer.stdout
    assert [json.loads(line)["key_a"] for line in path.read_text().splitlines()] == ["a1", "a3"]


@pytest.mark.parametrize("before", [None, 0o644, 0o666])
def test_others_on_the_machine_cannot_read_decisions(before: int | None, tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    if before is not None:
        path.touch()
        path.chmod(before)
    with Journal(path) as journal:
        journal.append(decision(1))
    assert path.stat().st_mode & 0o777 == 0o600
