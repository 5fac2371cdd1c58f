"""`miner export --retrieved`: the images of a large set that are near a seed set, from either workspace."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.errors import MinerError
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.verify.run import verify
from tests.export.folders import mine, samples


@pytest.fixture
def pool(make_photos, tmp_path) -> Workspace:
    return mine(make_photos("pool", count=16), tmp_path / "big")


@pytest.fixture
def seeds(make_photos, tmp_path) -> Workspace:
    workspace = Workspace(tmp_path / "seeds")
    embed(EmbedOptions(source=str(make_photos("seeds", count=3, classes=1))), workspace)
    return workspace


def exported(workspace: Workspace) -> set[str]:
    return {json.loads(sample["json"])["key"] for sample in samples(workspace.shards, "images")}


@pytest.mark.parametrize("from_seeds", [True, False])
def test_images_near_seeds_and_pairs_among_them(pool, seeds, from_seeds) -> None:
    here, there = (seeds, pool) if from_seeds else (pool, seeds)
    asked = {"neighbors": 2} if from_seeds else {"min": 0.9}
    pairs(PairsOptions(against=str(there.root), **asked), here)
    folder = here.against(there.root.name)
    near = set(pq.read_table(folder / "matches.parquet")["key_b" if from_seeds else "key_a"].to_pylist())
    mined = pq.read_table(pool.pairs / "pairs.parquet").to_pylist()
    result = export(ExportOptions(retrieved=folder), pool)
    assert exported(pool) == near and 0 < len(near) < 16
    assert (result.record["images"], result.record["not_retrieved"]) == (len(near), 16 - len(near))
    assert f"export: {16 - len(near)} images left out that were not retrieved" in result.lines
    kept = [pair for pair in mined if {pair["key_a"], pair["key_b"]} <= near]
    assert pq.read_table(pool.shards / "pairs.parquet").num_rows == len(kept) < len(mined)
    assert result.record["left_out"]["not_retrieved"] == len(mined) - len(kept)
    verify(str(pool.shards))


def test_images_alone_are_exported_and_other_sets_refused(pool, seeds, make_photos, tmp_path) -> None:
    pairs(PairsOptions(against=str(pool.root), neighbors=3), seeds)
    for path in pool.pairs.iterdir():
        path.unlink()
    result = export(ExportOptions(retrieved=seeds.against("big")), pool)
    assert result.record["pairs"] == 0 and len(exported(pool)) == result.record["images"] > 0
    verify(str(pool.shards))
    with pytest.raises(MinerError, match="miner pairs"):
        export(ExportOptions(retrieved=seeds.against("big"), without_duplicates=True), pool, force=True)
    third = mine(make_photos("third", count=5), tmp_path / "third")
    with pytest.raises(MinerError, match="pairs of seeds and big, and neither has"):
        export(ExportOptions(retrieved=seeds.against("big")), third)
    with pytest.raises(MinerError, match="holds no finished pairs with another set"):
        export(ExportOptions(retrieved=Path("nowhere")), third)
