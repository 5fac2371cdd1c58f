"""Units of work: run them anywhere, commit each result atomically, skip what is done. Knows nothing about images."""

from miner.engine.atomic import committed, json_bytes, write_bytes, write_json
from miner.engine.progress import Progress
from miner.engine.units import Executor, LocalExecutor, Unit, finished_items, run

__all__ = [
    "Executor",
    "LocalExecutor",
    "Progress",
    "Unit",
    "committed",
    "finished_items",
    "json_bytes",
    "run",
    "write_bytes",
    "write_json",
]
