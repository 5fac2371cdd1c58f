import hashlib
import json
import subprocess
import sys
from itertools import pairwise

import pyarrow.parquet as pq
import pytest
from PIL import Image

from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.errors import MinerError, UsageError
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.export.folders import BAND, digests, samples
from tests.processes import kill_command


def test_webdataset_reads_original_bytes_and_pairs(workspace, tmp_path) -> None:
    result = export(ExportOptions(), workspace)
    images = {sample["__key__"]: sample for sample in samples(workspace.shards, "images")}
    originals = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "photos").rglob("*.jpg")}
    assert {hashlib.sha256(sample["jpg"]).hexdigest() for sample in images.values()} == originals
    found = samples(workspace.shards, "pairs")
    assert len(found) == result.record["pairs"] > 10
    for sample in found:
        record = json.loads(sample["json"])
        assert record["key_a"] != record["key_b"]
        assert sample["a.jpg"] == images[record["key_a"]]["jpg"]
        assert sample["b.jpg"] == images[record["key_b"]]["jpg"]
        assert json.loads(images[record["key_a"]]["json"])["label"] == record["label_a"]
        assert 0.3 <= record["similarity"] <= 0.999
    assert [sample["__key__"] for sample in found] != sorted(sample["__key__"] for sample in found)


def test_seed_shuffles_the_pairs_of_one_image_apart(workspace) -> None:
    def order(seed: int) -> list[tuple[str, str]]:
        export(ExportOptions(seed=seed), workspace, force=True)
        records = [json.loads(sample["json"]) for sample in samples(workspace.shards, "pairs")]
        return [(record["key_a"], record["key_b"]) for record in records]

    first = order(1)
    neighbours = [one[0] == other[0] for one, other in pairwise(first)]
    assert sum(neighbours) < len(neighbours) / 3
    assert order(1) == first
    assert order(2) != first and sorted(order(2)) == sorted(first)
    assert json.loads((workspace.shards / "manifest.json").read_text())["request"]["seed"] == 2


def test_same_bytes_again_and_after_an_interruption(workspace) -> None:
    options = ExportOptions(shard_count=7)
    export(options, workspace)
    before = digests(workspace.shards)
    assert len(before) > 12
    assert not export(options, workspace).fresh
    request = json.loads((workspace.shards / "manifest.json").read_text())["request"]
    (workspace.shards / "manifest.json").unlink()
    (workspace.shards / "request.json").write_text(json.dumps(request))
    for name in ("pairs-000001.tar", "images-000000.tar", "index.json"):
        (workspace.shards / name).unlink()
    (workspace.shards / ".pairs-000001.tar.partial").write_bytes(b"half")
    assert export(options, workspace).fresh
    assert digests(workspace.shards) == before


def test_killed_export_goes_on_and_ends_with_the_same_bytes(workspace, twin) -> None:
    whole, killed = twin(workspace, "whole"), twin(workspace, "killed")
    export(ExportOptions(shard_count=1), whole)
    command = ["export", "--shard-count", "1", "-w", str(killed.root)]
    kill_command(command, lambda: len(list(killed.shards.glob("*.tar"))) >= 5)
    assert not (killed.shards / "manifest.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in killed.shards.glob("*.tar")}
    assert len(kept) >= 5
    export(ExportOptions(shard_count=1), killed)
    assert digests(killed.shards) == digests(whole.shards)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_image_that_changed_or_went_stops_the_export(workspace, tmp_path) -> None:
    victim = sorted((tmp_path / "photos").rglob("*.jpg"))[3]
    data = victim.read_bytes()
    victim.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(MinerError, match=f"{victim.name} .*has changed"):
        export(ExportOptions(), workspace)
    victim.unlink()
    with pytest.raises(MinerError, match=f"{victim.name} .*is gone"):
        export(ExportOptions(), workspace)
    assert not (workspace.shards / "manifest.json").exists()
    victim.write_bytes(data)
    assert export(ExportOptions(), workspace).fresh


def test_pairs_of_other_embeddings_are_refused(workspace, make_photos) -> None:
    embed(EmbedOptions(source=str(make_photos("others", count=5))), workspace, force=True)
    with pytest.raises(MinerError, match="other embeddings"):
        export(ExportOptions(), workspace)


@pytest.mark.parametrize("largest", [1, 5])
def test_shards_are_limited_by_count(workspace, largest: int) -> None:
    result = export(ExportOptions(shard_count=largest), workspace)
    counts = result.record["samples"]
    assert max(counts.values()) == largest
    assert sum(count for name, count in counts.items() if name.startswith("images")) == 16
    assert len(samples(workspace.shards, "pairs")) == result.record["pairs"]


def test_shards_are_limited_by_size(make_photos, tmp_path) -> None:
    from miner.artifacts.workspace import Workspace

    folder, large = make_photos(count=6, classes=0), tmp_path / "w"
    for number, path in enumerate(sorted(folder.rglob("*.jpg"))):
        Image.effect_noise((700 + number, 700), 80).save(path, quality=95)
    workspace = Workspace(large)
    embed(EmbedOptions(source=str(folder)), workspace)
    pairs(PairsOptions(**BAND), workspace)
    export(ExportOptions(shard_size=1), workspace)
    shards = sorted(workspace.shards.glob("images-*.tar"))
    assert len(shards) > 2
    assert all(path.stat().st_size <= 1_000_000 + 10_240 for path in shards)


def test_pairs_only_leaves_the_image_shards_out(workspace) -> None:
    export(ExportOptions(), workspace)
    whole = digests(workspace.shards)
    manifest = export(ExportOptions(pairs_only=True), workspace, force=True).record
    found = digests(workspace.shards)
    assert not [name for name in found if name.startswith("images-")] and "index-images.json" not in found
    assert found["pairs-000000.tar"] == whole["pairs-000000.tar"]
    assert set(manifest["sets"]) == {"pairs"}


def test_references_name_images_and_repeat_no_bytes(workspace) -> None:
    manifest = export(ExportOptions(references=True, shard_count=6), workspace).record
    images = {sample["__key__"]: sample for sample in samples(workspace.shards, "images")}
    found = samples(workspace.shards, "pairs")
    assert len(found) == manifest["pairs"]
    for sample in found:
        assert {name for name in sample if not name.startswith("__")} == {"json"}
        record = json.loads(sample["json"])
        for side in "ab":
            image = images[record[f"key_{side}"]]
            assert image["__url__"].endswith(record[f"shard_{side}"])
    assert manifest["sets"]["pairs"]["fields"] == ["json"]


def test_references_without_images_are_refused() -> None:
    with pytest.raises(UsageError, match="--pairs-only"):
        ExportOptions.parse({"references": True, "pairs_only": True})


def test_images_table_says_where_each_image_begins(workspace) -> None:
    export(ExportOptions(shard_count=5), workspace)
    table = pq.read_table(workspace.shards / "images.parquet").to_pylist()
    assert len(table) == 16 and len({row["shard"] for row in table}) == 4
    for row in table:
        shard = (workspace.shards / row["shard"]).read_bytes()
        content = shard[row["offset"] : row["offset"] + row["bytes"]]
        assert hashlib.sha256(content).hexdigest() == row["sha256"]


def test_partly_labelled_sets_have_one_type_of_label(partly_labelled) -> None:
    export(ExportOptions(), partly_labelled)
    labels = [json.loads(sample["json"])["label"] for sample in samples(partly_labelled.shards, "images")]
    assert sorted(labels) == [-1] * 8 + [0, 0, 1, 1]
    record = json.loads(samples(partly_labelled.shards, "pairs")[0]["json"])
    assert isinstance(record["label_a"], int) and isinstance(record["label_b"], int)


def test_a_limit_of_files_is_explained_and_the_rerun_continues(workspace, tmp_path) -> None:
    command = f"ulimit -f 20; exec {sys.executable} -m miner export -w {workspace.root}"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "`ulimit -f` allows 20,480 bytes" in answer.stderr and "images-000000.tar" in answer.stderr
    assert not list(workspace.shards.rglob("*.partial"))
    assert export(ExportOptions(), workspace).fresh
