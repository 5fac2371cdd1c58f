"""The command line as a person meets it: exit codes, one-paragraph errors, records as JSON."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import kill_command, run_command, start_command


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["pairs", "--min", "0.9", "--max", "0.8"], 2, "--min 0.9 is above --max 0.8"),
        (["pairs", "--min", "1.5"], 2, "--min"),
        (["pairs", "--engine", "magic"], 2, "exact"),
        (["pairs"], 1, "Run `miner embed SOURCE` first"),
        (["calibrate"], 1, "Run `miner embed SOURCE` first"),
        (["export"], 1, "Run `miner embed SOURCE` first"),
        (["publish", "--license", "mit"], 1, "Run `miner embed SOURCE` first"),
        (["embed", "nowhere"], 2, "There is no source 'nowhere'"),
        (["embed", "sample", "--encoder", "resnet49"], 2, "Did you mean"),
        (["embed", "sample", "--device", "cuda:7"], 2, "no such device"),
        (["embed", "."], 1, "No image below"),
        (["verify", "."], 2, "no folder that miner finished"),
        (["run", "missing.yaml"], 2, "missing.yaml cannot be read"),
    ],
)
def test_wrong_input_gets_one_paragraph(
    tmp_path: Path, monkeypatch, arguments: list[str], code: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = run_command(*arguments)
    assert answer.returncode == code, answer.stderr
    assert words in " ".join(answer.stderr.replace("│", " ").split())
    assert "Traceback" not in answer.stderr


def test_json_record_config_file_and_environment(make_photos, tmp_path) -> None:
    config = tmp_path / "embed.yaml"
    config.write_text("batch-size: 4\ndtype: float32\nlimit: 6\n")
    workspace = str(tmp_path / "w")
    arguments = ["embed", str(make_photos()), "--config", str(config), "--limit", "5", "--json"]
    environment = {**os.environ, "MINER_WORKSPACE": workspace}
    answer = subprocess.run(
        [sys.executable, "-m", "miner", *arguments], capture_output=True, text=True, env=environment, check=False
    )
    assert answer.returncode == 0, answer.stderr
    record = json.loads(answer.stdout)
    assert (record["count"], record["dtype"]) == (5, "float32")
    log = json.loads((tmp_path / "w" / "run.json").read_text())["stages"]["embed"]
    assert log["options"]["batch_size"] == 4 and log["seconds"] > 0 and log["environment"]["packages"]["torch"]
    again = run_command(*arguments[:-1], variables=environment)
    assert "nothing to do" in again.stdout
    other = run_command("embed", str(make_photos()), "--encoder", "resnet18", "-w", workspace)
    assert other.returncode == 1
    assert "--encoder was efficientnet_lite0 and is now resnet18" in other.stderr


def test_wrong_recipe_fails_before_any_work(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    for text, words in (
        ("stages: [{embed: {source: sample, colour: red}}]", "unknown option 'colour'"),
        ("stages: [{embed: {source: sample}}, {dream: {}}]", "unknown stage 'dream'"),
        ("stages: [{embed: {source: sample}}, {pairs: {min: 0.9, max: 0.1}}]", "above --max"),
        ("steps: []", "not a recipe"),
        ("stages: [", "not valid YAML"),
    ):
        recipe.write_text(text)
        answer = run_command("run", str(recipe), "-w", str(tmp_path / "w"))
        assert (answer.returncode, words in answer.stderr) == (2, True), answer.stderr
    assert not (tmp_path / "w").exists()


def test_recipe_runs_once_and_then_has_nothing_to_do(make_photos, tmp_path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"workspace: {tmp_path / 'w'}\n"
        f"stages: [{{embed: {{source: {make_photos()}}}}}, {{calibrate: {{images: 8}}}}, {{pairs: {{auto: true}}}}, {{export: }}]\n"
        "full: {pairs: {auto: false, min: 0.1, max: 1.0}}\n"
    )
    first = run_command("run", str(recipe))
    assert first.returncode == 0, first.stderr
    assert "pairs  " in first.stdout
    second = run_command("run", str(recipe))
    assert "run: 4 of 4 stages were finished before" in second.stdout
    assert "nothing to do" in second.stdout
    changed = run_command("run", str(recipe), "--set", "export.shard_size=1")
    assert changed.returncode == 1 and "--shard-size was 256 and is now 1" in changed.stderr
    full = run_command("run", str(recipe), "--full", "--force")
    assert full.returncode == 0 and "[0.1, 1]" in full.stdout


def test_second_process_in_a_workspace_is_turned_away(make_photos, tmp_path) -> None:
    from miner.artifacts.workspace import Workspace

    with Workspace(tmp_path / "w").locked():
        (tmp_path / "w" / ".lock").write_text("")  # as an older miner leaves it
        answer = run_command("embed", str(make_photos()), "-w", str(tmp_path / "w"))
    assert answer.returncode == 1
    assert "Another miner command is working" in answer.stderr


def test_killed_embedding_continues_to_the_same_bytes(make_photos, tmp_path) -> None:
    arguments = ["embed", str(make_photos(count=40, classes=10)), "--block-size", "5", "-b", "5", "-w"]
    assert run_command(*arguments, str(tmp_path / "whole")).returncode == 0
    marker = tmp_path / "killed" / "embeddings" / "metadata" / "metadata_00001.parquet"
    kill_command([*arguments, str(tmp_path / "killed")], marker.exists)
    assert not (tmp_path / "killed" / "embeddings" / "manifest.json").exists()
    assert run_command(*arguments, str(tmp_path / "killed")).returncode == 0
    whole, killed = (
        {path.relative_to(root): path.read_bytes() for path in (root / "embeddings").rglob("*") if path.is_file()}
        for root in (tmp_path / "whole", tmp_path / "killed")
    )
    assert whole == killed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_command_says_so(make_photos, tmp_path, number: int) -> None:
    folder = str(make_photos(count=200, classes=0))
    words = ["embed", folder, "--block-size", "5", "-b", "5", "-w", str(tmp_path / "w")]
    command = start_command(tmp_path, *words)
    while not (tmp_path / "w" / "embeddings" / "metadata").exists() and command.process.is_alive():
        time.sleep(0.005)
    os.kill(command.process.pid, number)
    answer = command.end()
    assert answer.returncode == 130
    assert "Interrupted" in answer.stderr and "Traceback" not in answer.stderr


def test_json_of_a_recipe_is_nothing_but_json(make_photos, tmp_path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"workspace: {tmp_path / 'w'}\nstages: [{{embed: {{source: {make_photos()}}}}}]\n")
    answer = run_command("run", str(recipe), "--json")
    assert json.loads(answer.stdout)["stages"]["embed"]["count"] == 12
    assert "embed: 12 images" in answer.stderr


_THREAD_OF_A_LIBRARY = """
import io, sys, threading, time
from pyarrow import csv
import miner.cli

class Endless(io.RawIOBase):
    def readable(self):
        return True

    def read(self, count=-1):
        reading.set()
        while True:
            time.sleep(0.001)  # asks for the interpreter after each

def main():
    threading.Thread(target=csv.read_csv, args=[Endless()], daemon=True).start()
    reading.wait()
    print("written", end="")
    sys.exit(3)

reading = threading.Event()
miner.cli.main = main
miner.cli.program()
"""


def test_threads_of_libraries_do_not_change_the_exit_code() -> None:
    answer = subprocess.run([sys.executable, "-c", _THREAD_OF_A_LIBRARY], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (3, "written", "")
