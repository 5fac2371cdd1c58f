"""What a step over all images is said to take, against the peak of a process that makes one."""

import json
import os
import subprocess
import sys

import pytest

from miner.refine.network.network import require_geometric
from tests.refine.graphs import CONVS

MEASURE = """
import json, sys, tempfile, torch
from pathlib import Path
from miner.refine.network.fit import fit
from miner.refine.network.network import make_network
from miner.refine.network.resources import whole_graph_bytes
from tests.refine.graphs import CPU, options, random_nodes

def resident(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])

def measured(conv, images, width, dim):
    nodes, chosen = random_nodes(images, 10, width), options(conv=conv, dim=dim, epochs=2)
    before = resident("VmRSS") - nodes.features.nbytes
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again here
    with tempfile.TemporaryDirectory() as folder:
        where = {"device": CPU, "checkpoint": Path(folder) / "last.pt"}
        fit(make_network(chosen, width), nodes, nodes, chosen, batch_size=images, **where)
    return resident("VmHWM") - before, whole_graph_bytes(chosen, images, width, len(nodes.graph.sources))

torch.set_num_threads(1)
found = {}
for conv in sys.argv[1:]:
    measured(conv, 50, 8, 8)  # what libraries load when they are used first
    found[conv] = measured(conv, 2000, 384, 256)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def peaks() -> dict[str, list[int]]:
    """By convolution, the measured and the stated bytes; in one process that gives back what it frees."""
    require_geometric()
    answer = subprocess.run(
        [sys.executable, "-c", MEASURE, *CONVS],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"},
    )
    return json.loads(answer.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("conv", CONVS)
def test_step_takes_the_memory_that_is_estimated(peaks, conv: str) -> None:
    measured, stated = peaks[conv]
    assert 0.8 < stated / measured < 1.25
