"""The folder: what it takes to write it, to write it again, and to leave alone what is someone else's."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.manifests import ShardsManifest
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError, UsageError
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.publish.options import PublishOptions
from miner.publish.run import publish
from miner.report.options import ReportOptions
from miner.report.run import report
from miner.run_stages import run_stage
from tests.publish.folders import LICENCES, contents, miner_verify, publish_to

Publisher = Callable[..., Path]


def front_matter(folder: Path) -> dict:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_data_files_are_links_and_bytes_are_the_same(published: Publisher, mined: Workspace) -> None:
    first, second = published("a/set"), published("b/set")
    for name in ("images-jpg-000000.tar", "pairs-jpg-jpg-000000.tar", "pairs.parquet"):
        assert (first / "data" / name).samefile(mined.shards / name)
    assert (first / "mined" / "duplicates.parquet").samefile(mined.pairs / "duplicates.parquet")
    assert contents(first) == contents(second)
    assert not (first / "request.json").exists()


def test_where_links_are_impossible_files_are_copied(workspace: Workspace, tmp_path: Path, monkeypatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    publish_to(tmp_path / "a" / "set", workspace)
    monkeypatch.setattr(os, "link", refuse)
    publish_to(tmp_path / "b" / "set", workspace)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    name = "images-jpg-000000.tar"
    assert not (tmp_path / "b" / "set" / "data" / name).samefile(workspace.shards / name)


def test_card_names_configurations_features_and_sizes(published: Publisher, mined: Workspace) -> None:
    folder = published()
    front = front_matter(folder)
    assert front["license"] == ["cc-by-4.0", "mit"]
    assert front["size_categories"] == ["n<1K"] and front["task_categories"] == ["image-feature-extraction"]
    configs = {config["config_name"]: config for config in front["configs"]}
    assert list(configs) == ["anchor-positive", "pairs", "image-table", "duplicates"]
    assert [name for name, config in configs.items() if config.get("default")] == ["anchor-positive"]
    shards = front_matter(folder / "data")
    infos = {info["config_name"]: info for info in front["dataset_info"] + shards["dataset_info"]}
    rows = {name: info["splits"][0]["num_examples"] for name, info in infos.items()}
    count = pq.read_metadata(mined.shards / "pairs.parquet").num_rows
    inline = [name for name in rows if name.startswith("pairs-inline-")]
    assert len(inline) > 1 and sum(rows.pop(name) for name in inline) == count
    assert rows == {
        **{"anchor-positive": count, "pairs": count, "images-jpg": 17, "images-png": 8},
        **{"image-table": 25, "duplicates": 1},
    }
    sizes = {name: info["download_size"] for name, info in infos.items()}
    assert sizes["images-jpg"] == (mined.shards / "images-jpg-000000.tar").stat().st_size
    assert sizes["anchor-positive"] == next((folder / "anchor-positive").iterdir()).stat().st_size


def test_without_a_licence_nothing_is_written(mined: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for options, words in (
        ({}, "--license, such as --license cc-by-4.0"),
        ({"license": "cc-by-4.0"}, "by --image-license"),
        ({"license": "cc-by-4"}, "did you mean cc-by-4.0"),
        ({"license": "cc-by-4.0", "image_license": "ours"}, "--image-license ours"),
    ):
        with pytest.raises(UsageError, match=words):
            publish(PublishOptions(to=str(folder), **options), mined)
    assert not folder.exists()


def test_licence_by_url(published: Publisher) -> None:
    folder = published(license="https://example.org/terms", image_license="https://example.org/terms")
    front = front_matter(folder)
    assert (front["license"], front["license_link"]) == ("other", "https://example.org/terms")
    assert json.loads((folder / "croissant.json").read_text())["license"] == ["https://example.org/terms"]


def test_words_of_the_publisher_appear_in_card_and_croissant(published: Publisher) -> None:
    told = {"title": "Tops & trousers", "description": "Made for a test.", "author": "Ada Lovelace; Grace Hopper"}
    folder = published(**told, homepage="https://example.org", release="2.1.0", date="2026-01-02")
    text, record = (folder / "README.md").read_text(), json.loads((folder / "croissant.json").read_text())
    assert front_matter(folder)["pretty_name"] == record["name"] == "Tops & trousers"
    assert "# Tops & trousers\n\nMade for a test.\n" in text and record["description"] == "Made for a test."
    assert "Published by Ada Lovelace, Grace Hopper, 2026-01-02, version 2.1.0. More: <https://example.org>" in text
    assert [person["name"] for person in record["creator"]] == ["Ada Lovelace", "Grace Hopper"]
    assert (record["version"], record["datePublished"], record["url"]) == ("2.1.0", "2026-01-02", "https://example.org")


def test_card_says_how_the_pairs_were_mined(published: Publisher, mined: Workspace) -> None:
    text = (published() / "README.md").read_text()
    embeddings, mined_pairs = EmbeddingsManifest.read(mined), PairsManifest.read(mined)
    for words in (
        embeddings.encoder.weights_sha256,
        "| Labels that it has seen | ImageNet-1k (1,000 classes) |",
        "| Licence of its weights | Apache-2.0 |",
        "| Band | 0.5 to 0.93, both included |",
        "exact: no pair of the band was missed (engine exact)",
        f"{mined_pairs.labels.precision:.1%} of the pairs join two images of one class",
        "miner embed photos --block-size 16\nminer pairs --min 0.5 --max 0.93\nminer export\nminer publish --license cc-by-4.0",
        "arXiv:2306.16122",
        "arXiv:2510.08722",
    ):
        assert words in text, words
    assert str(mined.root) not in text and str(mined.root.parent) not in text


def test_card_and_report_say_the_recall_of_a_search(workspace: Workspace, tmp_path: Path) -> None:
    pairs(PairsOptions(min=0.5, max=0.93, engine="hnsw"), workspace, force=True)
    export(ExportOptions(), workspace, force=True)
    publish_to(tmp_path / "set", workspace)
    card = (tmp_path / "set" / "README.md").read_text()
    recall = r"recall [\d.]+ % \([\d.]+ % to [\d.]+ %, on [\d,]+ pairs of \d+ sampled images\)"
    assert re.search(rf"Search \| approximate: {recall} \(engine hnsw\)", card)
    report(ReportOptions(), workspace)
    page = (workspace.root / "report" / "index.html").read_text()
    assert re.search(rf"approximate \(hnsw\).*?{recall}", page, re.DOTALL)
    pairs(PairsOptions(rule="mutual", neighbors=3, max=0.93, engine="ivf"), workspace, force=True)
    report(ReportOptions(), workspace, force=True)
    recall = recall.replace("recall", "recall of the neighbour lists", 1).replace("pairs of", "neighbours of")
    page = (workspace.root / "report" / "index.html").read_text()
    assert re.search(rf"approximate \(ivf\).*?{recall}", page, re.DOTALL)


@pytest.mark.parametrize(("form", "kinds"), [("references", {"images"}), ("pairs_only", {"pairs"})])
def test_configurations_are_of_what_was_exported(
    form: str, kinds: set[str], workspace: Workspace, tmp_path: Path
) -> None:
    export(ExportOptions(**{form: True}), workspace, force=True)
    publish_to(tmp_path / "set", workspace)
    configs = {config["config_name"] for config in front_matter(tmp_path / "set" / "data")["configs"]}
    assert {name.partition("-")[0] for name in configs} == kinds
    assert ("import webdataset" in (tmp_path / "set" / "README.md").read_text()) == (form == "pairs_only")
    answer = miner_verify(tmp_path / "set")
    assert answer.returncode == 0, answer.stderr


def test_counts_are_of_the_exported_pairs(workspace: Workspace, tmp_path: Path) -> None:
    export(ExportOptions(max_degree=1), workspace, force=True)
    publish_to(tmp_path / "set", workspace)
    text = (tmp_path / "set" / "README.md").read_text()
    shards, mined = ShardsManifest.read(workspace), PairsManifest.read(workspace)
    assert f"{shards.pairs:,} pairs join {2 * shards.pairs} different images" in text
    assert f"{mined.pairs - shards.pairs} pairs left out at export to limit the partners of an image" in text
    assert "miner export --max-degree 1\n" in text and "partners on average" not in text


def test_pairs_in_both_orders_count_once(workspace: Workspace, tmp_path: Path) -> None:
    count = PairsManifest.read(workspace).pairs
    pairs(PairsOptions(min=0.5, max=0.93, both_orders=True), workspace, force=True)
    export(ExportOptions(), workspace, force=True)
    publish_to(tmp_path / "set", workspace)
    text = (tmp_path / "set" / "README.md").read_text()
    assert f"{count:,} pairs of different images" in text and "each pair is listed in both orders" in text
    assert front_matter(tmp_path / "set")["dataset_info"][0]["splits"][0]["num_examples"] == 2 * count


def test_rerun_does_nothing_and_another_request_needs_force(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    assert publish_to(folder, workspace).fresh
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert not publish_to(folder, workspace).fresh
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times
    with pytest.raises(MinerError, match="--title was not given and is now Other"):
        publish_to(folder, workspace, title="Other")
    (folder / "FUNDING.md").write_text("ours")
    export(ExportOptions(references=True), workspace, force=True)
    publish_to(folder, workspace, title="Other", force=True)
    assert front_matter(folder)["pretty_name"] == "Other"
    assert (folder / "FUNDING.md").read_text() == "ours"
    assert not list((folder / "data").glob("pairs-jpg-*"))


def test_interrupted_publication_continues_to_the_same_bytes(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    publish_to(folder, workspace)
    before = contents(folder)
    (folder / "request.json").write_text(json.dumps(json.loads(before["manifest.json"])["request"]))
    for name in ("manifest.json", "README.md", "data/images-jpg-000000.tar"):
        (folder / name).unlink()
    (folder / "data" / ".images-jpg-000000.tar.partial").write_bytes(b"half")
    assert publish_to(folder, workspace).fresh
    assert contents(folder) == before


def test_files_of_others_are_refused_and_with_force_kept(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "data").mkdir(parents=True)
    litter = {"Thumbs.db", "desktop.ini", "data/Thumbs.db"}
    for name in litter:
        (folder / name).write_text("of the system")
    (folder / "README.md").write_text("theirs")
    (folder / "notes.txt").write_text("theirs")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    with pytest.raises(MinerError, match=r"did not write: README.md, notes.txt"):
        publish_to(folder, workspace)
    assert {name for name in contents(folder) if not name.startswith(".")} == {"README.md", "notes.txt"} | litter
    publish_to(folder, workspace, force=True)
    assert (folder / "notes.txt").read_text() == "theirs" and (folder / ".git" / "HEAD").exists()
    assert "pretty_name" in (folder / "README.md").read_text()


def test_unlisted_shard_is_refused_even_with_force(workspace: Workspace, tmp_path: Path) -> None:
    shard = tmp_path / "set" / "data" / "images-000007.tar"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"theirs")
    with pytest.raises(MinerError, match=r"images-000007.tar would be read as part of the data set"):
        publish_to(tmp_path / "set", workspace, force=True)
    assert contents(tmp_path / "set") == {"data/images-000007.tar": b"theirs"}


def test_folders_of_a_workspace_are_never_written_to(workspace: Workspace) -> None:
    before = contents(workspace.root)
    for folder in (workspace.root, workspace.shards, workspace.pairs):
        with pytest.raises(MinerError, match="belongs to a workspace"):
            publish_to(folder, workspace, force=True)
    assert contents(workspace.root) == before


def test_damaged_shard_is_found_before_it_is_published(workspace: Workspace, tmp_path: Path) -> None:
    shard = workspace.shards / "pairs-jpg-jpg-000000.tar"
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] + b"x")
    with pytest.raises(MinerError, match=r"pairs-jpg-jpg-000000.tar is damaged"):
        publish_to(tmp_path / "set", workspace)
    assert not (tmp_path / "set" / "manifest.json").exists()
    shard.write_bytes(data)
    assert publish_to(tmp_path / "set", workspace).fresh


def test_shards_of_other_pairs_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    pairs(PairsOptions(min=0.6, max=0.93), workspace, force=True)
    with pytest.raises(MinerError, match="shards belongs to other pairs"):
        publish_to(tmp_path / "set", workspace)


def test_empty_band_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    pairs(PairsOptions(min=0.998, max=0.999), workspace, force=True)
    export(ExportOptions(), workspace, force=True)
    with pytest.raises(MinerError, match="nothing to publish"):
        publish_to(tmp_path / "set", workspace)


def test_dry_run_writes_nothing_and_is_not_logged(workspace: Workspace, tmp_path: Path) -> None:
    before = contents(workspace.root)
    options = PublishOptions(to=str(tmp_path / "set"), dry_run=True, **LICENCES)
    result = run_stage("publish", options, workspace, False)
    assert not (tmp_path / "set").exists()
    after = contents(workspace.root)
    assert {name: data for name, data in after.items() if name != ".lock"} == {
        name: data for name, data in before.items() if name != ".lock"
    }
    written = contents(_published(workspace, tmp_path))
    del written["manifest.json"]
    found = result.record["sizes"]
    assert found.keys() == written.keys()
    linked = [
        name for name in written if name.startswith(("data/", "mined/")) and not name.endswith((".md", "manifest.json"))
    ]
    assert len(linked) > 8 and all(found[name] == len(written[name]) for name in linked)
    assert all(found[name] == pytest.approx(len(data), rel=0.1) for name, data in written.items())


def _published(workspace: Workspace, tmp_path: Path) -> Path:
    publish_to(tmp_path / "set", workspace)
    return tmp_path / "set"


def test_default_is_the_workspace_and_wrong_targets_are_named(workspace: Workspace) -> None:
    publish(PublishOptions(**LICENCES), workspace)
    assert (workspace.published / "README.md").is_file()
    for target in ("hf://pairs", "hf://datasets/a/b/c", "s3://bucket/set"):
        with pytest.raises(UsageError, match="--to"):
            publish(PublishOptions(to=target, **LICENCES), workspace)
