"""What every benchmark record holds beside its numbers: the command, the machine and the versions."""

import json
import os
import re
import shlex
import statistics
import sys
from pathlib import Path
from typing import Any

from miner.machine.environment import environment

RESULTS = Path(os.environ.get("BENCH_RESULTS", Path(__file__).parent / "results"))
_NUMBERS = re.compile(r"\[([-+\d.e,\s]+)\]")  # a list of numbers is one line


def summary(seconds: list[float]) -> dict[str, float]:
    """Median and range of repeated timings, in seconds."""
    return {"median_s": statistics.median(seconds), "min_s": min(seconds), "max_s": max(seconds)}


def publish(name: str, record: dict[str, Any]) -> None:
    """Print the record as JSON and keep it in NAME.json of tests/bench/results, or of the folder BENCH_RESULTS."""
    script = f"tests/bench/{Path(sys.argv[0]).name}"
    command = shlex.join(["python", script, *sys.argv[1:]])
    text = json.dumps({"benchmark": name, "command": command, "environment": environment(), **record}, indent=2)
    text = _NUMBERS.sub(lambda found: "[" + " ".join(found[1].split()) + "]", text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)
