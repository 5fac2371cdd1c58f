import hashlib
import json
from pathlib import Path

import pytest
import webdataset

from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.errors import MinerError
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.export.verify import verify
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.workspace import Workspace


@pytest.fixture
def workspace(make_photos, tmp_path) -> Workspace:
    made = Workspace(tmp_path / "w")
    embed(EmbedOptions(source=str(make_photos(count=16, classes=2))), made)
    pairs(PairsOptions(min=0.3, max=0.999), made)
    return made


def digests(workspace: Workspace) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in workspace.shards.iterdir()}


def samples(workspace: Workspace, kind: str) -> list[dict]:
    shards = sorted(str(path) for path in workspace.shards.glob(f"{kind}-*.tar"))
    return list(webdataset.WebDataset(shards, shardshuffle=False))


def test_webdataset_reads_original_bytes_and_pairs(workspace, tmp_path) -> None:
    result = export(ExportOptions(), workspace)
    images = {sample["__key__"]: sample for sample in samples(workspace, "images")}
    originals = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "photos").rglob("*.jpg")}
    assert {hashlib.sha256(sample["jpg"]).hexdigest() for sample in images.values()} == originals
    found = samples(workspace, "pairs")
    assert len(found) == result.record["pairs"] > 10
    for sample in found:
        record = json.loads(sample["json"])
        assert record["key_a"] != record["key_b"]
        assert sample["a.jpg"] == images[record["key_a"]]["jpg"]
        assert sample["b.jpg"] == images[record["key_b"]]["jpg"]
        assert json.loads(images[record["key_a"]]["json"])["label"] == record["label_a"]
        assert 0.3 <= record["similarity"] <= 0.999
    assert [sample["__key__"] for sample in found] != sorted(sample["__key__"] for sample in found)


def test_same_bytes_again_and_after_an_interruption(workspace, monkeypatch) -> None:
    monkeypatch.setattr("miner.export.run._MEGABYTE", 10_000)
    export(ExportOptions(shard_size=1), workspace)
    before = digests(workspace)
    assert len(before) > 6
    assert not export(ExportOptions(shard_size=1), workspace).fresh
    request = json.loads((workspace.shards / "manifest.json").read_text())["request"]
    (workspace.shards / "manifest.json").unlink()
    (workspace.shards / "request.json").write_text(json.dumps(request))
    for name in ("pairs-000001.tar", "images-000000.tar", "index.json"):
        (workspace.shards / name).unlink()
    (workspace.shards / ".pairs-000001.tar.partial").write_bytes(b"half")
    assert export(ExportOptions(shard_size=1), workspace).fresh
    assert digests(workspace) == before


def test_image_that_changed_or_went_since_embedding_stops_the_export(workspace, tmp_path) -> None:
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


def test_verify_finds_each_kind_of_damage(workspace) -> None:
    export(ExportOptions(), workspace)
    assert len(verify(workspace.root).lines) == 3
    shard = workspace.shards / "pairs-000000.tar"
    whole = shard.read_bytes()
    for damage, message in (
        (whole[:-512], "bytes, where the manifest says"),
        (whole[:700] + bytes([whole[700] ^ 1]) + whole[701:], "sha256"),
        (None, "is missing"),
    ):
        shard.unlink()
        if damage is not None:
            shard.write_bytes(damage)
        with pytest.raises(MinerError, match=message) as caught:
            verify(workspace.root)
        assert "pairs-000000.tar" in str(caught.value)
    shard.write_bytes(whole)
    assert verify(workspace.shards)


def test_verify_checks_content_even_when_checksums_agree(workspace) -> None:
    export(ExportOptions(), workspace)
    shard, manifest_path = workspace.shards / "pairs-000000.tar", workspace.shards / "manifest.json"
    data, manifest = shard.read_bytes(), json.loads(manifest_path.read_text())
    record = samples(workspace, "pairs")[0]["json"]
    key = json.loads(record)["key_a"].encode()
    other = json.loads(record)["key_b"].encode()
    shard.write_bytes(data.replace(record, record.replace(b'"key_b":"' + other, b'"key_b":"' + key), 1))
    manifest["files"][shard.name]["sha256"] = hashlib.sha256(shard.read_bytes()).hexdigest()
    manifest_path.write_text(json.dumps(manifest))
    with pytest.raises(MinerError, match="both images are"):
        verify(workspace.shards)


def test_verify_stays_inside_the_folder(workspace) -> None:
    path = workspace.pairs / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["../run.json"] = {"bytes": 1, "sha256": "0"}
    path.write_text(json.dumps(manifest))
    with pytest.raises(MinerError, match="outside its folder"):
        verify(workspace.pairs)


def test_verify_names_a_stranger_and_an_unfinished_stage(workspace) -> None:
    export(ExportOptions(), workspace)
    (workspace.pairs / "manifest.json").rename(workspace.pairs / "request.json")
    assert "pairs: begun and not finished" in verify(workspace.root).lines[0]
    (workspace.shards / "images-000009.tar").write_bytes(b"")
    with pytest.raises(MinerError, match=r"images-000009.tar is not in the manifest"):
        verify(workspace.root)
    (workspace.shards / "images-000009.tar").unlink()
    (workspace.shards / "manifest.json").write_text('{"files": [1]}')
    with pytest.raises(MinerError, match="damaged"):
        verify(workspace.root)


def test_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(MinerError, match="no folder that miner finished"):
        verify(tmp_path)
