"""Files that unpack to more than the memory of the process, read by the whole command."""

import json
import subprocess
import sys
from pathlib import Path

from tests.embed.bombs import write_bombs


def test_hostile_files_are_refused_below_3_gb(tmp_path: Path) -> None:
    bombs = write_bombs(tmp_path)
    child = subprocess.run(
        [sys.executable, "-m", "tests.embed.bombs"],
        input=json.dumps({name: command for name, (command, _) in bombs.items()}),
        capture_output=True,
        text=True,
        check=False,
    )
    told = {name: (code, errors) for name, code, errors in map(json.loads, child.stdout.splitlines())}
    assert told.keys() == bombs.keys(), child.stderr
    for name, (_, message) in bombs.items():
        code, errors = told[name]
        assert (code, message in errors, "fault of miner" in errors) == (int(bool(message)), True, False), (
            name,
            errors,
        )
