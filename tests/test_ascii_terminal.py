"""Every command on a terminal that knows ASCII alone, with names that are not ASCII."""

import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from miner.cli import main

OLD = Path(__file__).parent / "data" / "old_workspace"
Said = tuple[int, str]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Said]]:
    """Runs a command in this process; gives its exit code and what it printed. A code point beyond ASCII would raise."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: str) -> Said:
        terminal = io.TextIOWrapper(io.BytesIO(), "ascii", "strict", write_through=True)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["miner", *arguments])
            patch.setattr(sys.modules["__main__"], "__package__", None)  # as if not by `python -m pytest`
            patch.setattr(sys, "stdout", terminal)
            patch.setattr(sys, "stderr", terminal)
            patch.chdir(tmp_path)
            try:
                main()
                code = 0
            except SystemExit as stop:
                code = int(stop.code or 0)
        return code, terminal.buffer.getvalue().decode("ascii")

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("command", ["", "embed", "pairs", "train", "eval knn", "review", "run", "verify", "doctor"])
def test_help_is_printed(say, command: str) -> None:
    code, said = say(*command.split(), "-h")
    assert code == 0 and "Usage: miner" in said


def test_a_workspace_with_such_a_name(say, tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "wé")
    for command in ("report", "pairs --min 0.3 --max 0.9 --force", "verify wé", "doctor"):
        code, said = say(*command.split(), *([] if "verify" in command or command == "doctor" else ["-w", "wé"]))
        assert code == 0 and ("w\\xe9" in said or command == "doctor"), said


def test_graphs_and_reviews_of_a_workspace_with_such_a_name(say, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(OLD, tmp_path / "wé")
    monkeypatch.setattr("miner.server.listen.serve", lambda app, listener, announce: announce())
    small = "--epochs 1 --dim 8 --neighbors 3 --device cpu"
    for command, told in (
        (f"refine {small} --force", "w\\xe9/refined"),
        ("eval linear --refined --test sample --limit 20", "eval linear"),
        (f"eval graph {small} --seeds 1 --test sample --test-limit 20", "w\\xe9/graph"),
        ("review --port 0", "w\\xe9/review/decisions.jsonl keeps the decisions"),
        ("review --summary", "w\\xe9/review/review.json"),
    ):
        code, said = say(*command.split(), "-w", "wé")
        assert code == 0 and told in said, said


def test_images_and_classes_with_such_names(say, make_photos, tmp_path: Path) -> None:
    make_photos("phötos", count=4, classes=0)
    (tmp_path / "phötos" / "kaputt ☃.jpg").write_bytes(b"x")
    code, said = say("embed", "phötos", "-w", "w", "--device", "cpu")
    assert code == 0 and "left out: 1 unreadable (kaputt \\u2603.jpg: no known image format)" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["embed", "nöwhere"], "There is no source 'n\\xf6where'"),
        (["embed", "sample", "--encoder", "résnet"], "Unknown encoder 'r\\xe9snet'"),
        (["run", "rezept☃.yaml"], "rezept\\u2603.yaml cannot be read"),
        (["verify", "nö"], "n\\xf6 holds no folder"),
        (["export", "-w", "wé"], "(workspace w\\xe9)"),
        (["pairs", "-w", "caf\udce9"], "(workspace caf\\udce9)"),
    ],
)
def test_errors_with_such_names(say, arguments: list[str], said: str) -> None:
    code, message = say(*arguments)
    assert code in (1, 2) and said in message


def test_a_locale_without_utf8_changes_no_key(make_photos, tmp_path: Path) -> None:
    make_photos("phötos", count=4, classes=0)
    (tmp_path / "phötos" / "000.jpg").rename(tmp_path / "phötos" / "é ☃.jpg")
    code = "import sys; from miner.cli import _use_utf8; _use_utf8(); from miner.source import open_source\n"
    code += "print([(ascii(entry.path), entry.key) for entry in open_source(sys.argv[1]).entries])"
    plain = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", code, str(tmp_path / "phötos")]
    answers = [
        subprocess.run(command, capture_output=True, env={**os.environ, **change}, check=True).stdout
        for change in ({"PYTHONUTF8": "1"}, plain)
    ]
    assert answers[0] == answers[1] and b"\\xe9 \\u2603.jpg" in answers[0].replace(b"\\\\", b"\\")
