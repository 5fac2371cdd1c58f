"""A play of all scenes, and trials: a scene is disturbed, run again, and its bytes are compared with those of the play."""

import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.processes import COPIES
from tests.torture import child
from tests.torture.scenes import SCENES, write_photos

# Their bytes differ between equal runs: docs/formats.md. `run.json` is compared but for times.
_DIFFERS = (".lock", ".log.lock", "state.json", ".source_versions.parquet")
_TIMES = ("seconds", "finished_at", "measured", "environment")


class Bench:
    """A folder in which the scenes have been played once.

    Attributes:
        root: where each trial happens; always at the same place, because sources are recorded by their path.
        steps: by scene, what it changes on the disk, in order.
        seconds: by scene, how long it takes.
    """

    def __init__(self, folder: Path, scenes: Sequence[str]) -> None:
        self.root, self._kept = folder / "play", folder / "kept"
        self._answer = folder / "answer.json"
        self.steps: dict[str, list[str]] = {}
        self.seconds: dict[str, float] = {}
        self.figures: Counter[str] = Counter()
        self.root.mkdir(parents=True)
        os.environ["OMP_NUM_THREADS"] = "1"
        write_photos(self.root)
        for name in scenes:
            if (prepare := SCENES[name].prepare) is not None:
                prepare(self.root)
            shutil.copytree(self.root, self._kept / name / "before")
            started = time.monotonic()
            ended, self.steps[name] = self.run(name)
            self.seconds[name] = time.monotonic() - started
            assert ended == "done", (name, ended)
            shutil.copytree(self.root, self._kept / name / "after")

    def start(
        self, name: str, fault: str = "", at: int = 0, force: bool = False, answer: Path | None = None
    ) -> ForkServerProcess:
        """Begin a scene in a process of its own."""
        process = COPIES.Process(target=child.play, args=(name, self.root, answer or self._answer, fault, at, force))
        process.start()
        return process

    def run(self, name: str, fault: str = "", at: int = 0, force: bool = False) -> tuple[str, list[str]]:
        """Run a scene in a process of its own; returns how it ended ("killed" if it was), and its steps."""
        self._answer.unlink(missing_ok=True)
        process = self.start(name, fault, at, force)
        process.join()
        if process.exitcode == child.KILLED:
            return "killed", []
        answer = json.loads(self._answer.read_text())
        return answer["ended"], answer["steps"]

    def kill(self, name: str, at: int) -> None:
        """Kill a scene before one of its steps."""
        self.reset(name)
        assert self.run(name, "kill", at)[0] == "killed", (name, at)
        self.figures["kills at a step"] += 1

    def kill_after(self, name: str, seconds: float) -> None:
        """Kill a scene from outside, at some moment."""
        self.reset(name)
        process = self.start(name)
        time.sleep(seconds)
        process.kill()
        process.join()
        self.figures["kills at random" if process.exitcode == -signal.SIGKILL else "kills too late"] += 1

    def fill_disk(self, name: str, fault: str, at: int) -> None:
        """Let the disk be full at one step ("full"), or for files of more than so many bytes ("small")."""
        self.reset(name)
        ended, _ = self.run(name, fault, at)
        assert ended == "done" or "disk is full" in ended or "ulimit -f" in ended, (name, at, ended)
        self.figures["full disks"] += ended != "done"

    def run_two(self, name: str) -> None:
        """Run a scene in two processes at once."""
        self.reset(name)
        answers = [self._answer.with_name(f"answer{number}.json") for number in range(2)]
        for process in [self.start(name, answer=answer) for answer in answers]:
            process.join()
        for answer in answers:
            ended = json.loads(answer.read_text())["ended"]
            assert ended == "done" or "is working in" in ended, (name, ended)
        self.figures["two at once"] += 1

    def mend(self, name: str, what: object, verified: bool = True) -> None:
        """Run a scene that was disturbed again: then everything is as if nothing had happened, and `miner verify` passes."""
        ended, _ = self.run(name)
        expected, got = contents(self._kept / name / "after"), contents(self.root)
        wrong = sorted(path for path in expected.keys() | got.keys() if expected.get(path, "") != got.get(path, ""))
        self.figures["byte differences"] += len(wrong)
        said = self.verify() if verified else "done"
        self.figures["verify failures"] += said != "done"
        assert (ended, wrong, said) == ("done", [], "done"), (name, what, ended, wrong, said)

    def verify(self) -> str:
        """How `miner verify` ends for all workspaces of the play."""
        places = [self.root / place for place in ("w", "out", "recipe", "study") if (self.root / place).exists()]
        process = COPIES.Process(target=child.check, args=(places, self._answer))
        process.start()
        process.join()
        return str(json.loads(self._answer.read_text())["ended"])

    def reset(self, name: str, when: str = "before") -> None:
        """Make the folder as it was before or after a scene."""
        shutil.rmtree(self.root)
        shutil.copytree(self._kept / name / when, self.root)


def contents(root: Path) -> dict[str, Any]:
    """What is in a folder, by path: the bytes of a file; what is no time in run.json; None for an empty folder."""
    found: dict[str, Any] = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.name in _DIFFERS or path.name.startswith("events.out."):
            continue
        if path.name == "run.json":
            stages = json.loads(path.read_bytes())["stages"]
            # One entry a stage: of a study, that of the run that came last, which is another one after a failure.
            found[name] = (
                sorted(stages)
                if name.startswith("study/")
                else {
                    stage: {key: value for key, value in entry.items() if key not in _TIMES}
                    for stage, entry in stages.items()
                }
            )
        elif path.is_file():
            found[name] = path.read_bytes()
        elif not any(path.iterdir()):
            found[name] = None
    return found
