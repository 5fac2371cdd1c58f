"""Hard negatives against float64 products, networks of pairs by scipy, and as a column that `datasets` and `verify` read."""

from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.errors import UsageError
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.publish import image_pairs
from miner.publish.negatives import NOBODY, hard_negatives
from miner.publish.options import PublishOptions
from miner.verify.run import verify
from tests.publish.folders import contents, publish_to

TABLE = "anchor-positive/train-00000-of-00001.parquet"


@pytest.mark.parametrize(
    "asked",
    [
        {"min": 0.75, "max": 0.93},
        {"min": 0.65, "max": 0.93},
        {"rule": "mutual", "neighbors": 1, "max": 0.93},
    ],
)
def test_negatives_are_those_of_brute_force(asked: dict, workspace: Workspace) -> None:
    pairs(PairsOptions(**asked), workspace, force=True)
    store, manifest = EmbeddingStore(workspace), PairsManifest.read(workspace)
    keys = [key for number, key in enumerate(store.keys) if number != 3]
    found = hard_negatives(workspace, manifest, keys, 4)

    units = store.stored.read(0, 25).astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    edges = [pq.read_table(workspace.pairs / f"{name}.parquet") for name in ("pairs", "duplicates")]
    a, b = (np.concatenate([table[side].to_numpy() for table in edges]) for side in "ab")
    group = connected_components(coo_array((np.ones(len(a)), (a, b)), (25, 25)), directed=False)[1]
    allowed = group[:, None] != group[None, :]
    cosines = units @ units.T
    allowed &= cosines < asked["min"] if "min" in asked else cosines <= 0.93
    rows = np.delete(np.arange(25), 3)
    scores = np.where(allowed, cosines, -np.inf)[np.ix_(rows, rows)]
    order = np.argsort(-scores, axis=1, kind="stable")[:, :4]
    expected = np.where(np.take_along_axis(scores, order, axis=1) == -np.inf, NOBODY, order)
    assert (found == expected).all() and (found != NOBODY).any()


@pytest.mark.parametrize("most", [image_pairs._MOST_NEGATIVES_BYTES, 0])
def test_negatives_are_a_column(most: int, workspace: Workspace, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(image_pairs, "_MOST_NEGATIVES_BYTES", most)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    pairs(PairsOptions(min=0.75, max=0.93), workspace, force=True)
    export(ExportOptions(), workspace, force=True)
    result = publish_to(tmp_path / "a" / "set", workspace, hard_negatives=3)
    publish_to(tmp_path / "b" / "set", workspace, hard_negatives=3)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    loaded = datasets.load_dataset(str(tmp_path / "a" / "set"), split="train")
    kind = datasets.Image() if most else datasets.Value("string")
    assert loaded.features["negatives"] == datasets.List(kind)
    assert len(loaded[0]["negatives"]) == 3 and (not most or loaded[0]["negatives"][0].size == (40, 40))
    images = pq.read_table(workspace.shards / "images.parquet")
    label_of = dict(zip(images["key"].to_pylist(), images["label"].to_pylist(), strict=True))
    rows = pq.read_table(tmp_path / "a" / "set" / TABLE).to_pylist()
    chosen = {row["key_a"]: [one["path"][:-4] if most else one for one in row["negatives"]] for row in rows}
    same = [label_of[key] == label_of[other] for key, keys in chosen.items() for other in keys]
    made = {"each": 3, "anchors": len(chosen), "anchors_with_fewer": 0, "same_label": pytest.approx(np.mean(same))}
    assert result.record["negatives"] == made
    assert f"3 hard negatives for each of {len(chosen)} anchors; {np.mean(same):.1%} of them" in result.lines[1]
    card = (tmp_path / "a" / "set" / "README.md").read_text()
    assert f"`negatives`: the {'images' if most else 'keys of the images'} most similar" in card
    assert "--hard-negatives 3" in card
    assert verify(str(tmp_path / "a")).record["checked"]


def test_negatives_need_the_table_with_images() -> None:
    with pytest.raises(UsageError, match="choose one"):
        PublishOptions.parse({"hard_negatives": 1, "images_once": True})
