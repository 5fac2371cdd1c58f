"""Any number of processes, here or on Ray, writes the same bytes."""

import pytest

from miner.export.options import ExportOptions
from miner.export.run import export
from tests.export.folders import digests


@pytest.mark.parametrize("references", [False, True])
def test_processes_write_the_bytes_of_one(mixed, twin, references: bool) -> None:
    options = {"shard_count": 9, "references": references}
    alone, several = twin(mixed, "alone"), twin(mixed, "several")
    export(ExportOptions(**options), alone)
    export(ExportOptions(**options, workers=2), several)
    assert digests(several.shards) == digests(alone.shards)
    assert len(digests(alone.shards)) > 10


def test_ray_writes_the_bytes_of_one(workspace, twin, cluster) -> None:
    alone, remote = twin(workspace, "alone"), twin(workspace, "remote")
    export(ExportOptions(shard_count=30), alone)
    export(ExportOptions(shard_count=30, engine_address="auto"), remote)
    assert digests(remote.shards) == digests(alone.shards)
