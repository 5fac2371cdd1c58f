"""Whatever happens to a stage, the same command ends with the bytes of an undisturbed run, and nothing else is left or lost.

`make test` has a sample; `make torture` has all of it.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from miner.errors import MinerError
from miner.verify.run import verify
from tests.torture.conftest import LONG
from tests.torture.scenes import SHORT, USERS_FOLDERS
from tests.torture.trials import Bench

RANDOM_KILLS, FULL_DISKS = (6, 6) if LONG else (1, 1)
# Locks, versions of this copy of the source, and what people decided: docs/formats.md.
UNCOVERED = {".lock", ".log.lock", ".source_versions.parquet", ".arithmetic.json", "decisions.jsonl"}


def short(*scenes: str) -> Callable[[Any], Any]:
    """The scenes in `make test`."""

    def mark(test: Any) -> Any:
        test.short = scenes
        return test

    return mark


def sample(items: Sequence[int], count: int, seed: str) -> list[int]:
    return sorted(random.Random(seed).sample(items, min(count, len(items))))


@short(*SHORT)
def test_killed_before_a_step(bench: Bench, scene: str) -> None:
    """Before each renaming, removal and link; in short, before the last one, and for some stages another one."""
    steps = bench.steps[scene]
    points = [at for at, step in enumerate(steps) if step.split()[0] not in ("open", "os.mkdir")]
    chosen = (
        points if LONG else [*sample(points[:-1], scene in ("pairs appended", "export", "train"), scene), points[-1]]
    )
    for at in chosen:
        bench.kill(scene, at)
        bench.mend(scene, steps[at], verified=LONG or scene == "train")


@short("train")
def test_killed_at_random(bench: Bench, scene: str) -> None:
    moments = random.Random(scene)
    for _ in range(RANDOM_KILLS):
        seconds = moments.uniform(0, bench.seconds[scene])
        bench.kill_after(scene, seconds)
        bench.mend(scene, f"after {seconds:.3f} s")


@short("export")
def test_full_disk(bench: Bench, scene: str) -> None:
    steps = bench.steps[scene]
    writes = [at for at, step in enumerate(steps) if step.split()[0] not in ("os.remove", "os.rmdir")]
    for at in sample(writes, FULL_DISKS, scene):
        bench.fill_disk(scene, "full", at)
        bench.mend(scene, f"no space at {steps[at]}")
    for size_bytes in (64, 900, 5_000)[:FULL_DISKS]:
        bench.fill_disk(scene, "small", size_bytes)
        bench.mend(scene, f"no file above {size_bytes} bytes")


@short("report")
def test_two_processes_at_once(bench: Bench, scene: str) -> None:
    bench.run_two(scene)
    bench.mend(scene, "two processes")


def test_a_flipped_bit_is_found(bench: Bench) -> None:
    last = list(bench.steps)[-1]
    bench.reset(last, "after")
    root = bench.root / "w"
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name not in UNCOVERED)
    generator = random.Random(0)
    assert len(files) > 40 and verify(str(root))
    for path in files if LONG else generator.sample(files, 8):
        content = path.read_bytes()
        place = generator.randrange(len(content))
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << generator.randrange(8)]) + content[place + 1 :])
        bench.figures["flips"] += 1
        with pytest.raises(MinerError):
            verify(str(root))
        bench.figures["flips found"] += 1
        path.write_bytes(content)


def test_files_of_the_user_survive_force(bench: Bench) -> None:
    bench.reset(list(bench.steps)[-1], "after")
    folders = [bench.root / name for name in USERS_FOLDERS if (bench.root / name).parent.is_dir()]
    assert len(folders) > 8
    tar = bytes(10_240)  # without members: readers of shards take it for one
    for folder in folders:
        folder.mkdir(exist_ok=True)
        (folder / "images-holiday.tar").write_bytes(tar)
    for scene in bench.steps if LONG else ("pairs", "export", "publish", "report"):
        if scene != "review":
            ended, _ = bench.run(scene, force=True)
            assert ended == "done", (scene, ended)
            assert all((folder / "images-holiday.tar").read_bytes() == tar for folder in folders), scene
            bench.figures["commands with --force beside files of the user"] += 1
