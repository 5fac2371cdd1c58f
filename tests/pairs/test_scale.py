"""The same bytes within little memory, and by several processes on a real local Ray cluster."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from miner.artifacts.pairs.manifest import PairsManifest
from miner.errors import MinerError
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.pairs.mined import contents, in_short_strips
from tests.processes import kill_command

MEASURE = """
import re, sys
from pathlib import Path
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.pairs.engines import exact_cpu as exact, select
from miner.pairs.tables import histogram
from miner.pairs.tables import write as output
from miner.pairs import run
from miner.pairs.options import PairsOptions
from miner.artifacts.workspace import Workspace

def status(field):
    return int(re.search(field + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

small, large, memory = sys.argv[1:]
run.pairs(PairsOptions(min=0.9, max=1.0), Workspace(Path(small)))  # libraries load parts of themselves when first used
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
run.pairs(PairsOptions(min=0.9, max=1.0, memory=memory), Workspace(Path(large)))
print(status("VmHWM") - before)
"""


def near_pairs(count: int, dim: int) -> np.ndarray:
    """Unit rows, each near one other."""
    rng = np.random.default_rng(0)
    scale = 1 / (1 + np.arange(dim)) ** 0.5
    vectors = rng.normal(size=(count // 2, dim)) * scale
    vectors = np.concatenate([vectors, vectors + 0.2 * rng.normal(size=vectors.shape) * scale])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from /proc, which is Linux")
def test_memory_is_kept_to_and_changes_nothing(make_embeddings) -> None:
    vectors = near_pairs(60_000, 768)
    workspaces = [make_embeddings(vectors, name=name, blocks=7) for name in ("little", "much")]
    small = make_embeddings(vectors[:9000], name="small")
    used = []
    for workspace, memory in zip(workspaces, ("330MB", "4GB"), strict=True):
        arguments = [sys.executable, "-c", MEASURE, str(small.root), str(workspace.root), memory]
        run = subprocess.run(arguments, capture_output=True, text=True, check=True)
        used.append(int(run.stdout.split()[-1]))
    assert used[0] < 330e6 < used[1] < 4e9, used
    assert contents(workspaces[0]) == contents(workspaces[1])
    assert PairsManifest.read(workspaces[1]).pairs >= 30_000


def test_memory_too_small_for_the_vectors_is_explained(make_embeddings) -> None:
    workspace = make_embeddings(near_pairs(9000, 64))
    with pytest.raises(MinerError, match=r"--memory 1MB is too small .* that takes at least \d+ MB"):
        pairs(PairsOptions(min=0.9, max=1.0, memory="1MB"), workspace)
    assert not workspace.pairs.exists()


def has_strips(folder: Path, count: int) -> bool:
    return len(list(folder.glob("parts/strip-*.parquet"))) >= count


def test_killed_at_any_moment_and_run_again(make_embeddings) -> None:
    vectors = near_pairs(8000, 48)
    killed, whole = (make_embeddings(vectors, name=name, blocks=2) for name in ("killed", "whole"))
    command = ["pairs", "--min", "0.85", "--max", "1", "-w", str(killed.root)]
    for strips in (1, 30):
        kill_command(command, partial(has_strips, killed.pairs, strips), in_short_strips)
        assert not (killed.pairs / "manifest.json").exists()
    for workspace in (killed, whole):
        pairs(PairsOptions(min=0.85, max=1.0), workspace, strip_rows=100)
    assert contents(killed) == contents(whole)


def test_ray_gives_the_bytes_of_one_process(make_embeddings, cluster) -> None:
    vectors = near_pairs(3000, 24)
    local, remote = (make_embeddings(vectors, name=name, blocks=3) for name in ("local", "remote"))
    for options in ({"min": 0.9, "max": 1.0}, {"rule": "shared", "max": 0.99}):
        pairs(PairsOptions(**options), local, force=True, strip_rows=500)
        pairs(PairsOptions(**options, engine_address="auto"), remote, force=True, strip_rows=500)
        assert contents(local) == contents(remote)
        assert PairsManifest.read(local).pairs > 1000
    with pytest.raises(MinerError, match="floods"):
        pairs(PairsOptions(min=0.9, max=1.0, max_pairs=10), local, force=True, strip_rows=500)
