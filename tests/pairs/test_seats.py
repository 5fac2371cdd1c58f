"""Strips of a join on several devices, one process and one engine each; CPU devices stand for GPUs."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from miner.engine import LocalExecutor, Unit, run
from miner.errors import UsageError
from miner.pairs.seats import engine_here, executor_for
from miner.pairs.tiles import Block, tiles_for


@dataclass(frozen=True)
class Engine:
    whole: Block
    device: torch.device


@dataclass(frozen=True)
class Recipe:
    vectors: Path
    built: Path

    def build(self, device: torch.device) -> Engine:
        (self.built / f"{os.getpid()}-{len(list(self.built.iterdir()))}").write_text(str(device))
        return Engine(Block(torch.from_numpy(np.load(self.vectors)).to(device)), device)


def strip(recipe: Recipe, devices: str, start: int, stop: int, output: Path) -> None:
    engine = engine_here(recipe, devices)
    pairs = tiles_for(engine.device).above(engine.whole.rows(start, stop), engine.whole, 0.2)
    with output.open("wb") as file:
        np.savez(file, pairs=pairs.cpu().numpy(), seat=f"{os.getpid()} {engine.device}")


def units(recipe: Recipe, devices: str, folder: Path, rows: int) -> list[Unit]:
    return [
        Unit(f"{start}", (folder / f"{start:03d}.npz",), partial(strip, recipe, devices, start, start + 10))
        for start in range(0, rows, 10)
    ]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    vectors = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    (tmp_path / "built").mkdir()
    (tmp_path / "parts").mkdir()
    return Recipe(tmp_path / "vectors.npy", tmp_path / "built")


@pytest.mark.parametrize("devices", ["cpu", "cpu:0,cpu:1"])
def test_each_process_makes_one_engine_on_its_device(tmp_path: Path, recipe: Recipe, devices: str) -> None:
    run(units(recipe, devices, tmp_path / "parts", 60), executor=executor_for(devices))
    parts = [np.load(path) for path in sorted((tmp_path / "parts").iterdir())]
    vectors = torch.from_numpy(np.load(recipe.vectors))
    wanted = ((vectors @ vectors.T).triu(1) >= 0.2).nonzero().tolist()
    assert np.concatenate([part["pairs"] for part in parts]).tolist() == wanted
    seats = {str(part["seat"]) for part in parts}
    built = {f"{file.name.split('-')[0]} {file.read_text()}" for file in recipe.built.iterdir()}
    assert seats <= built  # a slow worker may start too late for any unit
    assert len(list(recipe.built.iterdir())) == len(built)
    assert {seat.split()[1] for seat in seats} <= set(devices.split(","))
    assert (f"{os.getpid()}" in {seat.split()[0] for seat in seats}) == (devices == "cpu")


def test_another_recipe_replaces_the_engine(recipe: Recipe, tmp_path: Path) -> None:
    first = engine_here(recipe, "cpu")
    assert engine_here(Recipe(recipe.vectors, recipe.built), "cpu") is first
    (tmp_path / "others").mkdir()
    engine_here(Recipe(recipe.vectors, tmp_path / "others"), "cpu")
    assert engine_here(recipe, "cpu") is not first


def test_executor_has_a_seat_per_device() -> None:
    assert executor_for("cpu") == LocalExecutor()
    assert executor_for("cpu:0,cpu:1") == LocalExecutor(2, ("cpu:0", "cpu:1"))
    with pytest.raises(UsageError, match="no such device"):
        executor_for("cuda:77")
