"""Units on a real local Ray cluster of several worker processes."""

import hashlib
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.engine import Unit, run
from miner.engine.ray import RayExecutor
from miner.errors import MinerError
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.engine.ray_work import always_die, complain, die_once, slow, write_pid
from tests.pairs.conftest import make_embeddings
from tests.pairs.vectors import clustered

__all__ = ["make_embeddings"]

pytestmark = pytest.mark.usefixtures("cluster")


def test_units_run_in_several_other_processes(tmp_path: Path) -> None:
    units = [Unit(str(n), (tmp_path / f"{n}.txt",), slow) for n in range(8)]
    run(units, executor=RayExecutor("auto"))
    processes = {path.read_text() for path in tmp_path.iterdir()}
    assert len(processes) == 2 and str(os.getpid()) not in processes


def test_unit_of_a_killed_worker_is_done_by_another(tmp_path: Path) -> None:
    units = [Unit(str(n), (tmp_path / f"{n}.txt",), partial(write_pid, n)) for n in range(3)]
    units.append(Unit("dies", (tmp_path / "dies.txt",), partial(die_once, tmp_path / "flag")))
    run(units, executor=RayExecutor("auto"))
    assert (tmp_path / "dies.txt").read_text() == "second try"
    assert all(unit.done for unit in units)


def test_unit_that_fails_or_kills_workers_is_explained(tmp_path: Path) -> None:
    with pytest.raises(MinerError, match="lost its worker 2 times"):
        run([Unit("bad", (tmp_path / "bad.txt",), always_die)], executor=RayExecutor("auto", tries=2))
    with pytest.raises(MinerError, match="the disk is full"):
        run([Unit("full", (tmp_path / "full.txt",), complain)], executor=RayExecutor("auto"))
    assert not list(tmp_path.iterdir())


def test_embedding_on_ray_gives_the_bytes_of_the_local_run(make_photos, tmp_path: Path) -> None:
    folder = str(make_photos(count=30))
    digests = []
    for name, address in (("local", None), ("ray", "auto")):
        workspace = Workspace(tmp_path / name)
        embed(EmbedOptions(source=folder, block_size=8, engine_address=address, device="cpu"), workspace)
        files = sorted(path for path in workspace.embeddings.rglob("*") if path.is_file())
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files})
    assert digests[0] == digests[1]


@pytest.mark.parametrize("asked", [{"min": 0.6, "max": 0.95}, {"neighbors": 3}])
def test_pairs_between_two_sets_on_ray_are_those_of_one_process(make_embeddings, asked) -> None:
    vectors = clustered(300, 24).astype(np.float16)
    here, there = make_embeddings(vectors[:90], name="a"), make_embeddings(vectors[90:], name="b")
    tables = []
    for address in (None, "auto"):
        options = PairsOptions.parse({"against": str(there.root), "engine_address": address, **asked})
        assert pairs(options, here, force=True, strip_rows=105).record["pairs"] > 100
        tables.append((here.against("b") / "matches.parquet").read_bytes())
    assert tables[0] == tables[1]
