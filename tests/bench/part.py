"""One part of a measurement: a command with a time limit, and a JSON record of it that no other part can lose.

    python tests/bench/part.py OUT NAME SECONDS [--keep FILE] -- COMMAND ...

OUT/NAME.json holds the command, its exit code, its seconds, whether it ended in time, the machine, the end of what it printed, and
as "record" what the command published (tests/bench/record.py) or wrote to FILE as JSON or JSON lines. OUT/NAME.log has all that it
printed. A command that runs out of time is interrupted as by Ctrl-C, and killed 10 seconds later.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from miner.machine.environment import environment

TAIL = 4000  # characters


def ended(process: subprocess.Popen[bytes], limit_s: float) -> bool:
    """Wait for the end of a process and all that it started; whether it ended by itself."""
    for wait_s, stop in ((limit_s, signal.SIGINT), (10, signal.SIGKILL)):
        try:
            process.wait(wait_s)
            return stop is signal.SIGINT
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, stop)
    process.wait()
    return False


def records_in(path: Path) -> Any:
    """What a file of JSON, or of JSON lines, holds; None without one."""
    if not path.exists():
        return None
    text = path.read_text()
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("name")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--keep", type=Path)
    own, command = sys.argv[1 : sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1 :]
    given = parser.parse_args(own)
    kept = given.keep or given.out / "records" / f"{given.name}.json"
    started = time.monotonic()
    with (given.out / f"{given.name}.log").open("wb") as log:
        variables = {**os.environ, "BENCH_RESULTS": str(given.out / "records")}
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=variables, start_new_session=True)
        in_time = ended(process, given.seconds)
    record = {
        "part": given.name,
        "command": command,
        "exit_code": process.returncode,
        "in_time": in_time,
        "seconds": round(time.monotonic() - started, 1),
        "limit_s": given.seconds,
        "environment": environment(),
        "printed": (given.out / f"{given.name}.log").read_text(errors="replace")[-TAIL:],
        "record": records_in(kept),
    }
    (given.out / f"{given.name}.json").write_text(json.dumps(record, indent=2) + "\n")
    print(f"{given.name}: exit code {process.returncode} after {record['seconds']} s")


if __name__ == "__main__":
    main()
